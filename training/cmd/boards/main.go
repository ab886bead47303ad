// Command boards writes generated boards as a YOLO folder to train on:
// images/, labels/ and names.yaml. Defect-free templates, and empty belts, are
// pictures with an empty label file. With -line there is areas/, too: where the
// boards are in each picture, a line "x1 y1 x2 y2" each, in 0..1; a picture
// without such a file is all board.
//
//	go run ./training/cmd/boards -out boards -n 1000
//	go run ./training/cmd/boards -out line -n 500 -line -plain 0.5
//	go run ./training/cmd/boards -out injected -inject 'real/*_temp.jpg' -n 1000
package main

import (
	"errors"
	"flag"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // templates may be JPEG
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vedette-io/vedette/internal/board"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "boards:", err)
		os.Exit(1)
	}
}

// labelled is the share of a defect's box from which on it has a label.
const labelled = 0.6

// options are the command's flags.
type options struct {
	out       string
	n         int
	seed      uint64
	defects   int
	templates float64
	plain     float64
	line      bool
	inject    string
}

func run(args []string, stderr io.Writer) error {
	var o options
	fs := flag.NewFlagSet("boards", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.out, "out", "", "folder to write, required")
	fs.IntVar(&o.n, "n", 1000, "boards, or frames with -line")
	fs.Uint64Var(&o.seed, "seed", 1, "the same seed gives the same pictures")
	fs.IntVar(&o.defects, "defects", 12, "most defects on a board; each board has 2 to that many")
	fs.Float64Var(&o.templates, "templates", 0.25, "share of boards whose template is written, too")
	fs.Float64Var(&o.plain, "plain", 0, "share of boards whose design rules let one picture tell a defect from the design")
	fs.BoolVar(&o.line, "line", false, "frames of a moving line instead of whole boards")
	fs.StringVar(&o.inject, "inject", "", "glob of defect-free pictures to inject defects into instead of drawn boards; commas separate several")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if o.out == "" || o.n < 1 || o.defects < 2 || !(o.plain >= 0 && o.plain <= 1) {
		return errors.New("-out is required, -n must be at least 1, -defects at least 2 and -plain 0 to 1")
	}
	for _, dir := range []string{"images", "labels"} {
		if err := os.MkdirAll(filepath.Join(o.out, dir), 0o755); err != nil {
			return err
		}
	}
	names := "names: [" + strings.Join(board.Classes(), ", ") + "]\n"
	if err := os.WriteFile(filepath.Join(o.out, "names.yaml"), []byte(names), 0o644); err != nil {
		return err
	}
	if o.line {
		return o.writeLine()
	}
	return o.writeBoards()
}

func (o *options) writeBoards() error {
	var pictures []string
	for _, g := range strings.Split(o.inject, ",") {
		found, err := filepath.Glob(g)
		if err != nil {
			return fmt.Errorf("-inject %s: %w", g, err)
		}
		pictures = append(pictures, found...)
	}
	if o.inject != "" && len(pictures) == 0 {
		return fmt.Errorf("-inject %s: no such pictures", o.inject)
	}
	return each(o.n, func(i int) error {
		r := rand.New(rand.NewPCG(o.seed, uint64(i)))
		seed, n := r.Uint64(), 2+r.IntN(o.defects-1)
		var b *board.Board
		var err error
		if len(pictures) > 0 {
			b, err = injected(pictures[i%len(pictures)], n, seed)
		} else {
			b, err = board.New(board.Config{Seed: seed, Defects: n, Plain: o.plain > 0 && r.Float64() < o.plain})
		}
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%06d", i)
		if err := o.write(name, b.Picture, b.Defects); err != nil {
			return err
		}
		if r.Float64() < o.templates {
			return o.write(name+"_temp", b.Template, nil)
		}
		return nil
	})
}

// each calls f for 0 to n-1 on all processors; it ends with the first error.
func each(n int, f func(i int) error) error {
	var (
		wg    sync.WaitGroup
		next  atomic.Int64
		mu    sync.Mutex
		first error
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					next.Store(int64(n))
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}

func injected(file string, n int, seed uint64) (*board.Board, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	g := image.NewGray(image.Rect(0, 0, src.Bounds().Dx(), src.Bounds().Dy()))
	draw.Draw(g, g.Rect, src, src.Bounds().Min, draw.Src)
	return board.Inject(g, n, seed)
}

// writeLine writes frames of many short lines with other boards, light and
// noise each. A frame whose edge cuts a defect so that one cannot say whether it
// is there is left out: labelled or not, it would teach something wrong.
func (o *options) writeLine() error {
	if err := os.MkdirAll(filepath.Join(o.out, "areas"), 0o755); err != nil {
		return err
	}
	const frames = 10 // of each line
	return each((o.n+frames-1)/frames, func(k int) error {
		r := rand.New(rand.NewPCG(o.seed, uint64(k)))
		cfg := board.DefaultLine()
		cfg.Seed = r.Uint64()
		cfg.Light, cfg.Noise = 0.6+0.6*r.Float64(), 8*r.Float64()
		cfg.DefectRate, cfg.MaxDefects, cfg.Empty = 0.85, 8, 0.15
		if r.IntN(2) == 0 {
			cfg.BoardWidth, cfg.BoardHeight = 380+r.IntN(220), 380+r.IntN(220)
		}
		cfg.Plain = o.plain > 0 && r.Float64() < o.plain
		l, err := board.NewLine(cfg)
		if err != nil {
			return err
		}
		for i := k * frames; i < min(o.n, (k+1)*frames); i++ {
			n, err := clearFrame(l, r)
			if err != nil {
				return err
			}
			if err := o.writeFrame(fmt.Sprintf("%06d", i), l, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// clearFrame picks a frame in which each defect is there, visible in labelled or
// more of its box, or is not, visible in less than a trace.
func clearFrame(l *board.Line, r *rand.Rand) (uint64, error) {
	const frames, attempts, trace = 400, 1000, 0.02
	for range attempts {
		n := r.Uint64N(frames)
		boards, err := l.Truth(n)
		if err != nil {
			return 0, err
		}
		if !slices.ContainsFunc(boards, func(b board.Seen) bool {
			return slices.ContainsFunc(b.Defects, func(d board.SeenDefect) bool { return d.Visible > trace && d.Visible < labelled })
		}) {
			return n, nil
		}
	}
	return 0, errors.New("the edge cuts a defect in every frame of a line")
}

// writeFrame writes frame n of a line.
func (o *options) writeFrame(name string, l *board.Line, n uint64) error {
	g := image.NewGray(image.Rect(0, 0, l.Config().Width, l.Config().Height))
	if err := l.Gray(n, g.Pix); err != nil {
		return err
	}
	boards, err := l.Truth(n)
	if err != nil {
		return err
	}
	var ds []board.Defect
	var areas strings.Builder
	for _, b := range boards {
		w, h := float64(g.Rect.Dx()), float64(g.Rect.Dy())
		a := b.Area.Inset(-board.Rim).Intersect(g.Rect)
		fmt.Fprintf(&areas, "%.6f %.6f %.6f %.6f\n", float64(a.Min.X)/w, float64(a.Min.Y)/h, float64(a.Max.X)/w, float64(a.Max.Y)/h)
		for _, d := range b.Defects {
			if d.Visible >= labelled {
				ds = append(ds, board.Defect{Class: d.Class, Box: d.Box})
			}
		}
	}
	if err := os.WriteFile(filepath.Join(o.out, "areas", name+".txt"), []byte(areas.String()), 0o644); err != nil {
		return err
	}
	return o.write(name, g, ds)
}

// write stores a picture and its labels: class, centre and size in 0..1.
func (o *options) write(name string, g *image.Gray, ds []board.Defect) error {
	f, err := os.Create(filepath.Join(o.out, "images", name+".png"))
	if err != nil {
		return err
	}
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := errors.Join(enc.Encode(f, g), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	var s strings.Builder
	w, h := float64(g.Rect.Dx()), float64(g.Rect.Dy())
	for _, d := range ds {
		fmt.Fprintf(&s, "%d %.6f %.6f %.6f %.6f\n", int(d.Class),
			float64(d.Box.Min.X+d.Box.Max.X)/2/w, float64(d.Box.Min.Y+d.Box.Max.Y)/2/h,
			float64(d.Box.Dx())/w, float64(d.Box.Dy())/h)
	}
	return os.WriteFile(filepath.Join(o.out, "labels", name+".txt"), []byte(s.String()), 0o644)
}
