package pipeline

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	for _, m := range p.cfg.Models {
		name := m.name()
		if _, twice := p.models[name]; twice {
			return fmt.Errorf("model %s is named twice", name)
		}
		if m.fetched = m.Loaded == nil; m.fetched {
			loaded, err := p.fetchModel(ctx, name)
			if err != nil {
				return fmt.Errorf("model %s: %w", name, err)
			}
			m.Loaded = loaded
		} else {
			p.offer(ctx, name, m.Loaded)
		}
		p.mu.Lock()
		p.models[name] = m
		p.mu.Unlock()
	}
	return nil
}

// reachable reports whether others are on the bus.
func (p *Pipeline) reachable() bool { return p.cfg.Bus.URL != "" || p.cfg.Bus.Listen != "" }

// offer puts a model on the bus for workers that lack it. That it cannot be is
// their trouble alone.
func (p *Pipeline) offer(ctx context.Context, name string, m *models.Model) {
	if !p.reachable() {
		return
	}
	switch err := OfferModel(ctx, p.bus, name, m); {
	case errors.Is(err, bus.ErrDenied): // a worker's key is for fetching alone
		p.deps.Log.Info("workers that lack the model cannot fetch it from here", "model", name, "error", err)
	case err != nil:
		p.deps.Log.Warn("workers that lack the model cannot fetch it", "model", name, "error", err)
	}
}

// OfferModel puts a model on the bus under its name.
func OfferModel(ctx context.Context, b *bus.Bus, name string, m *models.Model) error {
	text, err := offered(name, m)
	if err != nil {
		return err
	}
	return b.PutModel(ctx, bus.StoredModel{Name: name, SHA256: m.Report.SHA256, Edition: m.Edition(), Manifest: text, ONNX: m.ONNX})
}

// offered is the manifest of a model on the bus.
func offered(name string, m *models.Model) ([]byte, error) {
	manifest := m.Manifest
	manifest.Name, manifest.File, manifest.SHA256 = name, name+".onnx", m.Report.SHA256
	return manifest.YAML()
}

// fetchModel waits until the bus has the model, and keeps it in the cache.
func (p *Pipeline) fetchModel(ctx context.Context, name string) (*models.Model, error) {
	for waiting := false; ; waiting = true {
		stored, err := p.bus.GetManifest(ctx, name, "")
		if err == nil {
			return FetchModel(ctx, p.bus, *stored)
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

// FetchModel is a model of which the manifest is there: its file is taken from
// the cache, where it is kept under its hash, or from the bus.
func FetchModel(ctx context.Context, b *bus.Bus, m bus.StoredModel) (*models.Model, error) {
	cache, err := models.CacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "fetched", m.SHA256)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep the model: %w", err)
	}
	file := filepath.Join(dir, m.Name+".onnx")
	onnx, err := os.ReadFile(file)
	if sum := sha256.Sum256(onnx); err != nil || hex.EncodeToString(sum[:]) != m.SHA256 {
		if onnx, err = b.GetModelFile(ctx, m.SHA256); err != nil {
			return nil, err
		}
		if err := replaceFile(file, onnx); err != nil {
			return nil, fmt.Errorf("keep the model: %w", err)
		}
	}
	loaded, err := models.Assemble(file, m.Manifest, onnx)
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
	return scoreOf(m.Output.MinScore)
}

// lowestScore is what a model must let through: what the least strict camera
// wants. The others' owners drop the rest. 0 is the decoder's default.
func lowestScore(m models.Manifest, cameras []Camera) float64 {
	base := baseScore(m)
	lowest := base
	for _, c := range cameras {
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

// scoreOf is a score of a manifest, or the default.
func scoreOf(score float64) float64 { return cmp.Or(score, decode.DefaultMinScore) }
