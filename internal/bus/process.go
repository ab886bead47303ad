package bus

// ForProcess is how another process of this machine, and of the same user, reaches
// the server of a bus that was started with cfg, in a role.
func (b *Bus) ForProcess(cfg Config, r Role) Config {
	if b.server == nil {
		return cfg
	}
	return Config{URL: b.server.address(), NKey: b.KeyFile(r), Role: r, Pin: cfg.Cert, Prefix: cfg.Prefix}
}
