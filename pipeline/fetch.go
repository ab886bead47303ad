package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/vedette-io/vedette/infer/decode"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/models"
)

// fetchPause is how often a model is looked for that is nowhere yet.
const fetchPause = time.Second

// findModels makes p.models: those that are here are put on the bus for
// workers that lack them, the others are fetched from there.
func (p *Pipeline) findModels(ctx context.Context) error {
	reachable := p.cfg.Bus.URL != "" || p.cfg.Bus.Listen != ""
	for _, m := range p.cfg.Models {
		name := m.name()
		if _, twice := p.models[name]; twice {
			return fmt.Errorf("model %s is named twice", name)
		}
		switch {
		case m.Loaded == nil:
			loaded, err := p.fetchModel(ctx, name)
			if err != nil {
				return fmt.Errorf("model %s: %w", name, err)
			}
			m.Loaded = loaded
		case reachable:
			switch err := p.offerModel(ctx, name, m.Loaded); {
			case errors.Is(err, bus.ErrDenied): // a worker's key is for fetching alone
				p.deps.Log.Info("workers that lack the model cannot fetch it from here", "model", name, "error", err)
			case err != nil:
				p.deps.Log.Warn("workers that lack the model cannot fetch it", "model", name, "error", err)
			}
		}
		p.models[name] = m
	}
	return nil
}

func (p *Pipeline) offerModel(ctx context.Context, name string, m *models.Model) error {
	manifest := m.Manifest
	manifest.File, manifest.SHA256 = name+".onnx", m.Report.SHA256
	text, err := manifest.YAML()
	if err != nil {
		return err
	}
	return p.bus.PutModel(ctx, bus.StoredModel{Name: name, SHA256: m.Report.SHA256, Manifest: text, ONNX: m.ONNX})
}

// fetchModel waits until the bus has the model, and keeps it in the cache.
func (p *Pipeline) fetchModel(ctx context.Context, name string) (*models.Model, error) {
	for waiting := false; ; waiting = true {
		stored, err := p.bus.GetModel(ctx, name)
		if err == nil {
			return keepModel(stored)
		}
		if !errors.Is(err, bus.ErrNoModel) {
			return nil, err
		}
		if !waiting {
			p.deps.Log.Warn("the model is not on this machine and nobody has put it on the bus yet; waiting", "model", name)
		}
		select {
		case <-time.After(fetchPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// keepModel writes a fetched model into the cache, under its hash, and loads
// it from there as any other: file and manifest are checked against each other.
func keepModel(m *bus.StoredModel) (*models.Model, error) {
	cache, err := models.CacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "fetched", m.SHA256)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep the model: %w", err)
	}
	for ending, data := range map[string][]byte{".onnx": m.ONNX, ".yaml": m.Manifest} {
		if err := replaceFile(filepath.Join(dir, m.Name+ending), data); err != nil {
			return nil, fmt.Errorf("keep the model: %w", err)
		}
	}
	loaded, err := models.Load(filepath.Join(dir, m.Name+".onnx"), decode.Guess)
	if err != nil {
		return nil, err
	}
	loaded.Manifest.Name = m.Name
	return loaded, nil
}

// replaceFile writes a file so that nobody sees half of it.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// baseScore is the score below which the model's own manifest leaves objects
// out.
func baseScore(m models.Manifest) float64 {
	if m.Output.MinScore == 0 {
		return decode.DefaultMinScore
	}
	return m.Output.MinScore
}

// lowestScore is what a model must let through: what the least strict camera
// wants. The others' owners drop the rest.
func (p *Pipeline) lowestScore(m models.Manifest) float64 {
	base := baseScore(m)
	lowest := base
	for _, c := range p.cfg.Cameras {
		for _, d := range c.Owner.Detect {
			if d.Model == m.Name && d.MinScore > 0 {
				lowest = min(lowest, d.MinScore)
			}
		}
	}
	if lowest == base {
		return m.Output.MinScore
	}
	return lowest
}
