package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/client"
	"github.com/vedette-io/vedette/configs"
	"github.com/vedette-io/vedette/internal/bus"
)

// serverFlags reach the bus of a running plant: by flags, or as its
// configuration says.
type serverFlags struct {
	role bus.Role
	cfg  bus.Config
	file string
	// found is a key that nobody named, which may not be for this server.
	found bool
	// missing is where a key was looked for in vain, foreign one that the server
	// does not know; relative says that the place depends on the working folder.
	missing, foreign string
	relative         bool
	// unreadable is why a key that is where it should be cannot be used.
	unreadable error
}

func (s *serverFlags) register(cmd *cobra.Command, role bus.Role) {
	configFlag(cmd, &s.file)
	cmd.Flags().Lookup("config").Usage = "configuration file of the plant: its server and keys are used"
	s.registerAccess(cmd, role)
}

// accessFlags are the names of the flags that reach a bus.
func accessFlags() []string {
	return []string{"server", "nkey", "creds", "ca", "cert", "cert-key", "prefix"}
}

// registerAccess adds them.
func (s *serverFlags) registerAccess(cmd *cobra.Command, role bus.Role) {
	s.role = role
	f := cmd.Flags()
	f.StringVar(&s.cfg.URL, "server", client.DefaultURL, "NATS server of the plant")
	f.StringVar(&s.cfg.NKey, "nkey", "", "file with an NKey seed (default: $VEDETTE_NKEY, or the "+string(role)+"'s key in the plant's store)")
	f.StringVar(&s.cfg.Creds, "creds", "", "credentials file (default: $VEDETTE_CREDS)")
	f.StringVar(&s.cfg.CA, "ca", "", "CA of the server's certificate")
	f.StringVar(&s.cfg.Cert, "cert", "", "certificate for a server that asks for one")
	f.StringVar(&s.cfg.Key, "cert-key", "", "key of the certificate")
	f.StringVar(&s.cfg.Prefix, "prefix", "", "prefix of all subjects (default vedette)")
}

// resolve fills in what was not given by flags.
func (s *serverFlags) resolve(cmd *cobra.Command) error {
	s.cfg.Role = s.role
	given := cmd.Flags().Changed
	if s.cfg.NKey == "" && s.cfg.Creds == "" {
		s.cfg.NKey, s.cfg.Creds = os.Getenv("VEDETTE_NKEY"), os.Getenv("VEDETTE_CREDS")
	}
	keys := ""
	switch {
	case s.file != "":
		b, err := configs.LoadBus(s.file)
		if err != nil {
			return &usageError{err}
		}
		if keys, err = s.fromFile(b, given("server")); err != nil {
			return err
		}
	case loopback(s.cfg.URL):
		keys = filepath.Dir(bus.KeyFile(configs.Default().Bus.Store, s.role))
	}
	if keys != "" && !s.hasLogin() {
		s.find(filepath.Join(keys, string(s.role)+".nk"))
	}
	if !s.hasLogin() && s.cfg.Inbox == "" {
		s.cfg.Inbox = bus.Subscriber.Inbox() // who has no key is a subscriber at most
	}
	return nil
}

func (s *serverFlags) hasLogin() bool {
	return s.cfg.User != "" || s.cfg.NKey != "" || s.cfg.Creds != ""
}

// closed closes a bus that may not have started.
func closed(b *bus.Bus) error {
	if b == nil {
		return nil
	}
	return b.Close()
}

// fromFile takes what a plant's configuration says, and returns the folder where
// its keys are.
func (s *serverFlags) fromFile(b configs.Bus, server bool) (keys string, err error) {
	if s.cfg.Prefix == "" {
		s.cfg.Prefix = b.Prefix
	}
	if b.URL == "" { // the server is inside the plant's program
		if !server {
			host, port, err := net.SplitHostPort(b.Listen)
			if err != nil || port == "0" {
				return "", usagef("%s: bus.listen %q has no port to connect to; give --server", s.file, b.Listen)
			}
			if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
				host = "127.0.0.1"
			}
			s.cfg.URL = "nats://" + net.JoinHostPort(host, port)
		}
		if s.cfg.CA == "" {
			s.cfg.Pin = b.Cert
		}
		if b.Store == "" {
			return "", nil
		}
		s.relative = !filepath.IsAbs(b.Store)
		return filepath.Dir(bus.KeyFile(b.Store, s.role)), nil
	}
	if !server {
		s.cfg.URL = b.URL
	}
	if s.cfg.CA == "" {
		s.cfg.CA = b.CA
	}
	if s.cfg.Cert == "" {
		s.cfg.Cert, s.cfg.Key = b.Cert, b.Key
	}
	s.cfg.Inbox, s.cfg.Domain = b.Inbox, b.Domain
	if s.cfg.NKey == "" && s.cfg.Creds == "" {
		if b.NKey != "" { // a stage's, beside which "vedette keys" puts the others
			return filepath.Dir(b.NKey), nil
		}
		s.cfg.User, s.cfg.Password, s.cfg.Creds = b.User, b.Password, b.Creds
	}
	return "", nil
}

// find uses a key if it is there.
func (s *serverFlags) find(file string) {
	if abs, err := filepath.Abs(file); err == nil { // else the working folder is gone
		file = abs
	}
	f, err := os.Open(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.missing = file
	case err != nil:
		s.unreadable = err
	default:
		_ = f.Close() // nothing was written
		s.cfg.NKey, s.found = file, true
	}
}

// loopback reports whether a server is on this machine.
func loopback(server string) bool {
	u, err := url.Parse(server)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// bus logs in. A key that was only found, and that the server does not know, is
// left out.
func (s *serverFlags) bus(cmd *cobra.Command, log *slog.Logger) (*bus.Bus, error) {
	if err := s.resolve(cmd); err != nil {
		return nil, err
	}
	b, err := bus.Start(cmd.Context(), s.cfg, log)
	if s.found && errors.Is(err, bus.ErrLogin) {
		log.Info("the key that was found is not for this server; going on without", "nkey", s.cfg.NKey)
		s.foreign, s.cfg.NKey, s.cfg.Inbox = s.cfg.NKey, "", bus.Subscriber.Inbox()
		b, err = bus.Start(cmd.Context(), s.cfg, log)
	}
	switch {
	case cmd.Context().Err() != nil:
		return nil, errors.Join(context.Cause(cmd.Context()), closed(b))
	case err != nil:
		return nil, s.refused(cmd.Name(), startError(cmd.Context(), err))
	}
	return b, nil
}

// client logs in as a service that subscribes does.
func (s *serverFlags) client(cmd *cobra.Command, log *slog.Logger) (*client.Client, error) {
	if err := s.resolve(cmd); err != nil {
		return nil, err
	}
	options := []client.Option{client.Log(log), client.Name("vedette " + cmd.Name()), client.Prefix(s.cfg.Prefix)}
	if s.cfg.Pin != "" {
		pinned, err := bus.PinTLS(s.cfg.Pin)
		if err != nil {
			return nil, &usageError{err}
		}
		options = append(options, client.TLS(pinned))
	}
	if s.cfg.CA != "" {
		options = append(options, client.CA(s.cfg.CA))
	}
	if s.cfg.Cert != "" {
		options = append(options, client.Certificate(s.cfg.Cert, s.cfg.Key))
	}
	if s.cfg.Inbox != "" {
		options = append(options, client.InboxPrefix(s.cfg.Inbox))
	}
	c, err := client.Connect(s.cfg.URL, append(options, s.login()...)...)
	if s.found && errors.Is(err, client.ErrLogin) {
		log.Info("the key that was found is not for this server; going on without", "nkey", s.cfg.NKey)
		s.foreign, s.cfg.NKey = s.cfg.NKey, ""
		c, err = client.Connect(s.cfg.URL, options...)
	}
	if err != nil {
		return nil, s.refused(cmd.Name(), err)
	}
	return c, nil
}

func (s *serverFlags) login() []client.Option {
	switch {
	case s.cfg.NKey != "":
		return []client.Option{client.NKey(s.cfg.NKey)}
	case s.cfg.Creds != "":
		return []client.Option{client.Credentials(s.cfg.Creds)}
	case s.cfg.User != "":
		return []client.Option{client.User(s.cfg.User, s.cfg.Password)}
	}
	return nil
}

// refused says which key is needed where the server refused what was asked.
func (s *serverFlags) refused(command string, err error) error {
	denied := errors.Is(err, bus.ErrDenied) || errors.Is(err, client.ErrDenied)
	login := (errors.Is(err, bus.ErrLogin) || errors.Is(err, client.ErrLogin)) && !s.hasLogin()
	if !denied && !login {
		return err
	}
	if s.unreadable != nil {
		return usagef("%s needs the %s's key, which this user cannot read: %w", command, s.role, s.unreadable)
	}
	return usagef("%s needs the %s's key%s (%w)", command, s.role, s.remedy(command), err)
}

// remedy says where the key was looked for, and what to do.
func (s *serverFlags) remedy(command string) string {
	where := ""
	switch {
	case s.foreign != "":
		where = ", and " + s.foreign + " is not for this server"
	case s.missing != "":
		where = ", and there is none at " + s.missing
	}
	switch {
	case s.file == "":
		return fmt.Sprintf("%s: give -c FILE, the plant's configuration, or --nkey FILE; "+
			"vedette run keeps it in its store folder as keys/%s.nk", where, s.role)
	case where == "":
		return ": give it with --nkey FILE"
	case s.relative:
		return fmt.Sprintf("%s: bus.store in %s is relative to the folder in which the plant was started: "+
			"run %s there, make bus.store absolute, or give --nkey FILE", where, s.file, command)
	}
	return where + ": give the plant's with --nkey FILE"
}

func newKeys(_ *globals) *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use:   "keys DIR",
		Short: "makes the keys of the roles for a NATS server of your own, and its accounts",
		Long: `Makes a key (NKey) for each role in a folder, unless it is there: stage, worker, leaf, operator
and subscriber. Beside them it writes accounts.conf, which the server's configuration includes and
which says what each role may see and publish. docs/nats has such configurations.`,
		Example: "  vedette keys ./keys",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := bus.MakeKeys(args[0], prefix)
			if err != nil {
				return &usageError{err}
			}
			for _, f := range files {
				fmt.Fprintln(cmd.OutOrStdout(), f)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "prefix of all subjects (default vedette)")
	return cmd
}
