package bus

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"github.com/vedette-io/vedette/internal/fileerr"
)

// PinTLS trusts the server that shows the certificate of a file, and no other:
// for programs on the machine of the embedded server, which can read what it
// shows. They reach it by an address that need not be in the certificate.
func PinTLS(certFile string) (*tls.Config, error) {
	data, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("%w: cert file %s: %w", ErrConfig, certFile, fileerr.Cause(err))
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%w: cert file %s: no certificate (PEM) in it", ErrConfig, certFile)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: cert file %s: %w", ErrConfig, certFile, err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	name := ""
	switch {
	case len(cert.DNSNames) > 0:
		name = cert.DNSNames[0]
	case len(cert.IPAddresses) > 0:
		name = cert.IPAddresses[0].String()
	default:
		return nil, fmt.Errorf("%w: cert file %s: it names no host and no address, so that nobody will accept it", ErrConfig, certFile)
	}
	return &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12}, nil
}
