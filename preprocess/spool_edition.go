package preprocess

import "context"

// claim has a frame's tensor made for the edition that frames are inferred with
// now, which counts it until it is sent.
func (l *lane) claim(s *spooled) *fitting {
	for {
		f := l.fit.Load()
		m := f.model
		m.spooled.Add(1)
		if l.fit.Load() == f {
			s.model, s.SHA256, s.Edition, s.Fit = m, m.cfg.Ref.SHA256, m.cfg.Edition, m.fit
			return f
		}
		m.spooled.Add(-1) // another took its place meanwhile
	}
}

// reserve is claim for a tensor that an earlier owner left, where it was made
// for the edition of now.
func (l *lane) reserve(s *spooled) {
	m := l.fit.Load().model
	if s.Unfit == "" && s.Failed == "" && s.SHA256 == m.cfg.Ref.SHA256 && s.Edition == m.cfg.Edition {
		m.spooled.Add(1)
		s.model = m
	}
}

// acquireFor waits for a credit to send s with: of the edition of now, if that
// one takes pictures as s has it, else of the one that s was made for, if this
// owner knows it ([errReplaced]).
func (l *lane) acquireFor(ctx context.Context, s *spooled) (*fitting, error) {
	for {
		switch other := l.fit.Load().model.fit != s.Fit; {
		case other && s.model == nil:
			return nil, errReplaced
		case other:
			f := &fitting{model: s.model}
			return f, f.model.credits.acquire(ctx, &f.holder)
		}
		f, err := l.acquire(ctx)
		if err != nil || f.model.fit == s.Fit {
			return f, err
		}
		f.model.credits.release(&f.holder) // it has just been replaced
	}
}

// unmake frees what s has of its edition, and its tensor.
func (s *spooled) unmake(body *[]byte) {
	if s.model != nil && body != nil {
		s.model.pool.Put(body)
	}
	s.forget()
}

// forget says that s waits no more.
func (s *spooled) forget() {
	if s.model != nil {
		s.model.spooled.Add(-1)
		s.model = nil
	}
}
