package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/vedette-io/vedette/configs"
	"github.com/vedette-io/vedette/infer"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/fileerr"
	"github.com/vedette-io/vedette/internal/strictyaml"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/pipeline"
)

// configReader reads a configuration together with what it names, so that
// everything that is wrong is reported at once, each with its place.
type configReader struct {
	stages pipeline.Stages
	// overBus says that models whose files are not here come over the bus.
	overBus bool
	// env is the environment, if it is not the process's own; elsewhere says that
	// others use the configuration, in theirs.
	env       func(string) (string, bool)
	elsewhere bool
	// also, which may be nil, looks further: see check.
	also func(c *configs.Config, r configs.Report)
	// loaded are the models that are here, by name, and places where the file says
	// what of a model does not work.
	loaded map[string]*models.Model
	places map[string]func(why error) strictyaml.Problem
	// noModels says that the file lists none, so that the default is used.
	noModels bool
	// idle says which of its keys have no effect yet; empty: none.
	idle string
}

// read returns what the file says. Its error is a usage error.
func (cr *configReader) read(file string) (configs.Config, error) {
	data, err := readConfig(file)
	if err != nil {
		return configs.Config{}, err
	}
	return cr.parse(file, data)
}

// readConfig reads the file. Its error is a usage error.
func readConfig(file string) ([]byte, error) {
	if file == "" {
		return nil, usagef("-c FILE is needed; configs/ has examples")
	}
	data, err := configs.Read(file)
	if err != nil {
		return nil, &usageError{fileerr.Named(err)}
	}
	return data, nil
}

// parse is read for the file's content.
func (cr *configReader) parse(file string, data []byte) (configs.Config, error) {
	cr.loaded, cr.places = map[string]*models.Model{}, map[string]func(error) strictyaml.Problem{}
	dir := filepath.Dir(file)
	if strings.HasPrefix(file, fromBus) {
		dir = "" // the file may be on another host
	}
	c, err := configs.Parse(file, data, configs.Options{
		Env: cr.env, Elsewhere: cr.elsewhere, Dir: dir, Local: isPath,
		Source: func(s string) error {
			_, err := ingest.ParseSource(s)
			return err
		},
		Check: func(c *configs.Config, r configs.Report) {
			cr.noModels, cr.idle = !r.Has("models"), idleKeys(r)
			if cr.stages != (pipeline.Stages{Ingest: true}) { // pictures are taken without a model
				cr.models(c, r)
				cr.labels(c, r)
			}
			if cr.also != nil {
				cr.also(c, r)
			}
		},
	})
	if err != nil {
		return c, &usageError{err}
	}
	return c, nil
}

// idleKeys says, with the place of the first, which keys have no effect yet.
func idleKeys(r configs.Report) string {
	keys := r.IdleRetention()
	if len(keys) == 0 {
		return ""
	}
	verb := "has"
	if len(keys) > 1 {
		verb = "have"
	}
	at := r.At(keys[0])
	return fmt.Sprintf("%s:%d:%d: %s %s no effect yet: detections are all that is stored so far, and retention.detections says how long",
		at.File, at.Line, at.Column, strings.Join(keys, ", "), verb)
}

// isPath says that a source is a file, a folder or a glob.
func isPath(source string) bool {
	s, err := ingest.ParseSource(source)
	return err == nil && (s.Kind() == ingest.File || s.Kind() == ingest.Images) && !strings.Contains(source, "://")
}

// models loads every model that can be found.
func (cr *configReader) models(c *configs.Config, r configs.Report) {
	for i, m := range c.Models {
		path := fmt.Sprintf("models[%d]", i)
		if _, twice := cr.loaded[m.Name]; twice || r.Failed(path+".name") || r.Failed(path+".file") {
			continue
		}
		cr.places[m.Name] = func(why error) strictyaml.Problem { return r.At(modelKey(path, m, why)) }
		name, at := m.File, path+".file"
		if name == "" {
			name, at = m.Name, path+".name"
		}
		loaded, err := loadModel(name)
		switch {
		case err == nil:
			cr.loaded[m.Name] = loaded
		case errors.Is(err, models.ErrNotFound) && (cr.overBus || m.File == "" && cr.stages != (pipeline.Stages{})):
			// It comes over the bus.
		default:
			reportEach(r, at, err)
		}
	}
}

// modelKey is the key of a model's entry that is to blame for what became of it.
func modelKey(path string, m configs.Model, why error) string {
	switch {
	case errors.Is(why, infer.ErrNoDevice):
		return path + ".device"
	case errors.Is(why, infer.ErrNoLibrary), errors.Is(why, infer.ErrUnsupported):
		return path + ".engine"
	case m.File != "":
		return path + ".file"
	}
	return path + ".name"
}

// place says where the configuration names the models that an error is about.
func (cr *configReader) place(err error) error {
	var m *pipeline.ModelError
	if !errors.As(err, &m) {
		return err
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok { // joined, on a line each
		var all []error
		for _, one := range several.Unwrap() {
			all = append(all, cr.place(one))
		}
		return errors.Join(all...)
	}
	if cr.places[m.Name] == nil {
		return err
	}
	p := cr.places[m.Name](err)
	p.Text = strings.Join(strings.Fields(err.Error()), " ")
	return p
}

// reportEach reports an error that may itself be a list of problems, those of
// a model's manifest.
func reportEach(r configs.Report, path string, err error) {
	var list strictyaml.Problems
	if !errors.As(err, &list) {
		r.Bad(path, "%s", strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	for _, p := range list {
		r.Bad(path, "%v", p)
	}
}

// labels compares what the cameras look for with what the models can answer.
func (cr *configReader) labels(c *configs.Config, r configs.Report) {
	for i, camera := range c.Cameras {
		for j, d := range camera.Detect {
			m := cr.loaded[d.Model]
			if m == nil {
				continue
			}
			for k, l := range d.Labels {
				path := fmt.Sprintf("cameras[%d].detect[%d].labels[%d]", i, j, k)
				if r.Failed(path) {
					continue
				}
				if hint, known := labelHint(m, l); !known {
					r.Bad(path, "the model %s knows no such label%s%s", d.Model, r.Got(path), hint)
				}
			}
		}
	}
}

// loadConfig reads a configuration and its models.
func loadConfig(ctx context.Context, o *runOptions) (configs.Config, pipeline.Config, error) {
	data, err := o.read(ctx)
	if err != nil {
		return configs.Config{}, pipeline.Config{}, err
	}
	o.last = data
	cr := configReader{stages: o.stages, overBus: o.overBus(), env: o.env()}
	o.place = cr.place
	c, err := cr.parse(o.file, data)
	if err != nil {
		return c, pipeline.Config{}, err
	}
	cfg, err := pipeline.FromConfig(c, cr.model)
	if err != nil {
		return c, cfg, &usageError{err}
	}
	if cr.noModels && !o.told && o.stages != (pipeline.Stages{Ingest: true}) {
		o.told = true
		tellDefaultModel(o.file+" lists no models", "list yolox-nano under models")
	}
	if cr.idle != "" && cr.idle != o.idle && !o.supervised { // else the supervisor says it
		o.idle = cr.idle
		tell("note: %s", cr.idle)
	}
	return c, cfg, o.apply(&cfg)
}

// model is the model of a configuration that was read, or nil if it comes over
// the bus.
func (cr *configReader) model(m configs.Model) (*models.Model, error) { return cr.loaded[m.Name], nil }
