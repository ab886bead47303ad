package bus_test

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/testkit"
)

// external runs a server as an operator would, in this process.
func external(t *testing.T, change func(*server.Options)) string {
	t.Helper()
	opts := &server.Options{
		ServerName: "external", Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	}
	if change != nil {
		change(opts)
	}
	return runServer(t, opts)
}

// runServer runs a server for the length of a test, and returns where it is.
func runServer(t *testing.T, opts *server.Options) string {
	t.Helper()
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return s.ClientURL()
}

// use does a little of everything.
func use(t *testing.T, cfg bus.Config) {
	t.Helper()
	b := start(t, cfg)
	mustWrite(t, writer(t, b), "gate", 0, 1)
	wantStored(t, b, "gate", []uint64{0, 1})
	if b.Address() == "" || strings.Contains(b.Address(), "s3cret") {
		t.Errorf("address %q", b.Address())
	}
}

func write0600(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExternalServer(t *testing.T) {
	t.Run("open", func(t *testing.T) { use(t, bus.Config{URL: external(t, nil)}) })
	t.Run("user", func(t *testing.T) {
		url := external(t, func(o *server.Options) { o.Username, o.Password = "stage", "s3cret" })
		use(t, bus.Config{URL: url, User: "stage", Password: "s3cret"})
		use(t, bus.Config{URL: strings.Replace(url, "nats://", "nats://stage:s3cret@", 1)})
		for _, cfg := range []bus.Config{
			{URL: url, User: "stage", Password: "wr0ng"},
			{URL: strings.Replace(url, "nats://", "nats://stage:wr0ng@", 1)},
			{URL: url},
		} {
			err := refused(t, cfg)
			if !strings.Contains(err.Error(), "refused the login") || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("%v", err)
			}
		}
	})
	t.Run("nkey", func(t *testing.T) {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, _ := pair.PublicKey()
		seed, _ := pair.Seed()
		url := external(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} })
		use(t, bus.Config{URL: url, NKey: write0600(t, "user.nk", seed)})
		err = refused(t, bus.Config{URL: url, NKey: write0600(t, "bad.nk", []byte("SUxyz"))})
		if !errors.Is(err, bus.ErrConfig) || !strings.Contains(err.Error(), "bad.nk") || strings.Contains(err.Error(), "SUxyz") {
			t.Error(err)
		}
	})
	t.Run("creds", testCreds)
	t.Run("tls", testTLS)
	t.Run("several, one alive", func(t *testing.T) {
		use(t, bus.Config{URL: "nats://127.0.0.1:1, " + external(t, nil)})
	})
}

func testCreds(t *testing.T) {
	operator, _ := nkeys.CreateOperator()
	account, _ := nkeys.CreateAccount()
	user, _ := nkeys.CreateUser()
	operatorID, _ := operator.PublicKey()
	accountID, _ := account.PublicKey()
	userID, _ := user.PublicKey()

	claims := jwt.NewAccountClaims(accountID)
	claims.Limits.DiskStorage, claims.Limits.MemoryStorage = -1, -1
	accountJWT, err := claims.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	userJWT, err := jwt.NewUserClaims(userID).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := user.Seed()
	creds, err := jwt.FormatUserConfig(userJWT, seed)
	if err != nil {
		t.Fatal(err)
	}
	system, _ := nkeys.CreateAccount()
	systemID, _ := system.PublicKey()
	systemJWT, err := jwt.NewAccountClaims(systemID).Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	url := external(t, func(o *server.Options) {
		o.TrustedOperators = []*jwt.OperatorClaims{jwt.NewOperatorClaims(operatorID)}
		resolver := &server.MemAccResolver{}
		if err := errors.Join(resolver.Store(accountID, accountJWT), resolver.Store(systemID, systemJWT)); err != nil {
			t.Fatal(err)
		}
		o.AccountResolver, o.SystemAccount = resolver, systemID
	})
	use(t, bus.Config{URL: url, Creds: write0600(t, "user.creds", creds)})
	err = refused(t, bus.Config{URL: url, Creds: "/nonexistent/user.creds"})
	if !errors.Is(err, bus.ErrConfig) || !strings.Contains(err.Error(), "creds file /nonexistent/user.creds: no such file") {
		t.Error(err)
	}
}

func testTLS(t *testing.T) {
	ca := testkit.NewAuthority(t)
	cert, key := ca.Issue("server")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := ca.Pool()
	url := external(t, func(o *server.Options) {
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 5
	})
	clientCert, clientKey := ca.Issue("client")
	use(t, bus.Config{URL: url, CA: ca.File, Cert: clientCert, Key: clientKey})
	for _, tc := range []struct {
		name string
		cfg  bus.Config
		want string
	}{
		{"unknown authority", bus.Config{URL: url, Cert: clientCert, Key: clientKey}, "certificate"},
		{"no client certificate", bus.Config{URL: url, CA: ca.File}, "tls"},
		{"no such file", bus.Config{URL: url, CA: "/nonexistent/ca.pem"}, "ca file /nonexistent/ca.pem"},
		{"key without certificate", bus.Config{URL: url, Key: clientKey}, "needs both cert and key"},
	} {
		if err := refused(t, tc.cfg); !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestExternalServerRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  bus.Config
		want string
	}{
		{"nobody there", bus.Config{URL: "nats://u:s3cret@127.0.0.1:1"}, "cannot be reached"},
		{"no scheme", bus.Config{URL: "u:s3cret@127.0.0.1:4222"}, "want nats://host:port"},
		{"not a URL", bus.Config{URL: "nats://u:s3cret@127.0.0.1:port"}, "want nats://host:port"},
		{"user and nkey", bus.Config{URL: "nats://127.0.0.1:1", User: "u", NKey: "f"}, "not several"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := refused(t, tc.cfg)
			if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cret") {
				t.Error(err)
			}
		})
	}
	t.Run("no JetStream", func(t *testing.T) {
		b := start(t, bus.Config{URL: external(t, func(o *server.Options) { o.JetStream = false })})
		if err := b.EnsureDetections(t.Context(), bus.DefaultDetectionLimits()); err == nil || !strings.Contains(err.Error(), "JetStream") {
			t.Error(err)
		}
	})
}
