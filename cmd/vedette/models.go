package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/vedette-io/vedette/internal/fileerr"
	"github.com/vedette-io/vedette/models"
)

func newModels(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "lists, inspects, pulls and verifies models",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("which? list, inspect, pull or verify; see vedette models --help")
		},
	}
	cmd.AddCommand(newModelsList(), newModelsInspect(), newModelsPull(g), newModelsVerify())
	return cmd
}

func newModelsList() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "lists the models on this machine and those that can be pulled",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			here := models.DefaultPlaces().List()
			if format == "json" {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"builtin": builtinNames(), "local": here, "catalogue": models.Catalogue()})
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "Built in\t\t\t")
			for _, b := range builtinModels() {
				fmt.Fprintf(w, "  %s\t\t\t%s\n", b.name, b.about)
			}
			fmt.Fprintln(w, "On this machine\t\t\t")
			if len(here) == 0 {
				fmt.Fprintln(w, "  (none)\t\t\t")
			}
			for _, f := range here {
				fmt.Fprintf(w, "  %s\t\t\t%s\n", f.Name, f.Path)
			}
			fmt.Fprintln(w, "Can be pulled (vedette models pull NAME)\t\t\t")
			for _, e := range models.Catalogue() {
				note := e.About
				if e.Unsupported != "" {
					note += " (cannot be run yet: " + e.Unsupported + ")"
				}
				fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", e.Name, humanize.Bytes(uint64(e.Bytes)), e.Licence, note)
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

func newModelsInspect() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect MODEL",
		Short: "says what an ONNX file holds and proposes a manifest for it",
		Long: `Says what an ONNX file holds (on stderr) and writes a complete manifest for it to stdout:
save it beside the file, under the same name with the ending .yaml, and edit what is wrong.`,
		Example: `  vedette models inspect detector.onnx > detector.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, r, err := inspectModel(args[0])
			unclear := errors.Is(err, models.ErrTaskUnclear)
			if unclear {
				r.Notes = append(r.Notes, err.Error())
			}
			writeReport(cmd.ErrOrStderr(), r)
			if err != nil && !unclear {
				return &usageError{err}
			}
			data, err := m.YAML()
			if err != nil {
				return err
			}
			if unclear {
				data = append(data, unclearManifest...)
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		},
	}
}

// inspectModel looks at a model by path or name, a built-in one, too.
func inspectModel(name string) (models.Manifest, models.Report, error) {
	for _, b := range builtinModels() {
		if b.name != name {
			continue
		}
		m, err := b.load()
		if err != nil {
			return models.Manifest{}, models.Report{}, err
		}
		m.Report.Path, m.Report.Bytes = m.Path, len(m.ONNX)
		return m.Manifest, m.Report, nil
	}
	path, err := models.DefaultPlaces().Resolve(name)
	if err != nil {
		return models.Manifest{}, models.Report{}, err
	}
	return models.Inspect(path, guess)
}

// unclearManifest ends the manifest of a model whose file does not say what it
// does: as it is, it is refused.
const unclearManifest = `# To be completed: the file does not say what the model does. For a classifier:
# task: classify
# labels: [first, second]    # one for each class, in the order of the output
`

func writeReport(w io.Writer, r models.Report) {
	if r.Path == "" {
		return
	}
	line := func(what, text string) {
		if text != "" {
			fmt.Fprintf(w, "%-10s %s\n", what, text)
		}
	}
	line("file", fmt.Sprintf("%s, %s", r.Path, humanize.Bytes(uint64(r.Bytes))))
	line("sha256", r.SHA256)
	line("made by", r.Producer)
	if r.Opset > 0 {
		line("opset", fmt.Sprint(r.Opset))
	}
	line("inputs", strings.Join(r.Inputs, ", "))
	line("outputs", strings.Join(r.Outputs, ", "))
	var ops []string
	for _, name := range slices.Sorted(maps.Keys(r.Ops)) {
		ops = append(ops, fmt.Sprintf("%s ×%d", name, r.Ops[name]))
	}
	line("operators", strings.Join(ops, ", "))
	if r.Origin != "" {
		line("manifest", map[models.Origin]string{
			models.FromManifest: r.ManifestPath, models.FromKnown: "a known file", models.FromGuess: "proposed from the file",
		}[r.Origin])
	}
	for _, n := range r.Notes {
		line("check", n)
	}
}

func newModelsPull(g *globals) *cobra.Command {
	var opts models.PullOptions
	cmd := &cobra.Command{
		Use:   "pull NAME…",
		Short: "downloads models of the catalogue and verifies them",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if _, err := models.Find(name); err != nil {
					return &usageError{err}
				}
			}
			for _, name := range args {
				bar := newProgress(name, 1)
				opts.Progress = func(done, total int64) { bar.total(int(total)); bar.set(int(done)) }
				path, err := models.Pull(cmd.Context(), name, opts)
				bar.finish()
				if err != nil {
					return err
				}
				g.log.Info("model is here", "model", name, "path", path)
				fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&opts.BaseURL, "mirror", "", "address of a mirror with the same paths")
	cmd.Flags().StringVar(&opts.Dir, "dir", "", "folder to put them in (default: the cache)")
	return cmd
}

func newModelsVerify() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "verify [NAME | FILE]",
		Short: "checks size and hash of pulled models, or of a file",
		Long: `Checks size and hash of the models of the catalogue that were pulled, of the one that is named,
or of a file (a path with a slash or the ending .onnx), wherever it is.`,
		Example: `  vedette models verify
  vedette models verify ./yolox_nano.onnx`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			if models.IsPath(name) {
				if dir != "" {
					return usagef("give a FILE or --dir, not both")
				}
				c, err := models.VerifyFile(name)
				if err != nil {
					return &usageError{fileerr.Named(err)}
				}
				return writeChecks(cmd.OutOrStdout(), []models.Check{c})
			}
			checks, err := models.Verify(name, dir)
			if err != nil {
				return &usageError{err}
			}
			at := filepath.Dir(checks[0].Path)
			if name == "" {
				checks = slices.DeleteFunc(checks, func(c models.Check) bool { return c.State == models.Missing })
			}
			if len(checks) == 0 {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "no model of the catalogue is in %s: vedette models pull NAME brings one there; for a file elsewhere give its path\n", at)
				return err
			}
			return writeChecks(cmd.OutOrStdout(), checks)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder they are in (default: the cache)")
	return cmd
}

// writeChecks lists what was found out. Its error says what is not as it should be.
func writeChecks(out io.Writer, checks []models.Check) error {
	var bad []error
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range checks {
		fmt.Fprintf(w, "%s\t%s\t%s\n", cmp.Or(c.Entry.Name, "-"), c.State, c.Path)
		switch c.State {
		case models.Missing:
			bad = append(bad, fmt.Errorf("%s is not there; run: vedette models pull %s", c.Entry.Name, c.Entry.Name))
		case models.Damaged:
			bad = append(bad, fmt.Errorf("%s: %w; run: vedette models pull %s", c.Path, c.Err, c.Entry.Name))
		case models.Unknown:
			bad = append(bad, fmt.Errorf("%s: %w", c.Path, c.Err))
		}
	}
	return errors.Join(append(bad, w.Flush())...)
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func builtinNames() []string {
	var names []string
	for _, b := range builtinModels() {
		names = append(names, b.name)
	}
	return names
}
