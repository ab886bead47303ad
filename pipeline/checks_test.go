package pipeline_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/testcam/barcode"
	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// TestMain lets the test binary be its own capture child.
func TestMain(m *testing.M) {
	if ingest.IsChild() {
		os.Exit(ingest.ChildMain())
	}
	// A server that collects of others waits for their answer in the background,
	// also when it is stopped.
	sourcing := "github.com/nats-io/nats-server/v2/server.(*stream)."
	// nats.go leaves a goroutine behind when an object is stored before that has
	// come to run: it then waits on a channel that is nil by then.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"),
		goleak.IgnoreTopFunction(sourcing+"tryDeleteSourcingConsumer.func1"), goleak.IgnoreTopFunction(sourcing+"trySetupSourceConsumer.func3"))
}

// patience is how long a camera of these tests may be silent, which is for busy
// machines: a camera given up too early begins anew, and the tests count frames.
const patience = 30 * time.Second

// camera looks at a source with some models.
func camera(t *testing.T, id, source string, delivery preprocess.Delivery, models ...pipeline.Model) pipeline.Camera {
	t.Helper()
	src, err := ingest.ParseSource(source)
	if err != nil {
		t.Fatal(err)
	}
	c := pipeline.Camera{
		Ingest: ingest.Config{ID: id, Source: src, Delivery: ingest.Delivery(delivery), Silence: patience},
		Owner:  preprocess.CameraConfig{ID: id, Delivery: delivery},
	}
	for _, m := range models {
		c.Owner.Detect = append(c.Owner.Detect, preprocess.DetectConfig{Model: m.Loaded.Manifest.Name})
	}
	return c
}

// reader is the network that reads bar codes.
func reader() pipeline.Model { return builtIn(onnxtest.BarcodeReader(1), onnxtest.BarcodeManifest()) }

func builtIn(onnx []byte, m models.Manifest) pipeline.Model {
	sum := sha256.Sum256(onnx)
	return pipeline.Model{Loaded: &models.Model{
		Manifest: m, ONNX: onnx, Path: "(built in)", Report: models.Report{SHA256: hex.EncodeToString(sum[:])},
	}}
}

// read is what the network read in the picture of d.
func read(d *vedette.Detection) barcode.Reading {
	if d.Objects == nil {
		return barcode.Reading{}
	}
	var white []int
	for _, o := range *d.Objects {
		white = append(white, o.ClassID)
	}
	return onnxtest.ReadBarcode(white)
}

// checkChain checks that the detections of one camera and model follow each
// other as they say: seq grows, prev_seq is the one before, and gap_before
// counts what is missing between them.
func checkChain(t *testing.T, out []*vedette.Detection) {
	t.Helper()
	epoch, prev := "", int64(-1)
	for _, d := range out {
		if d.Epoch != epoch {
			if d.Epoch < epoch {
				t.Errorf("epoch %s after %s", d.Epoch, epoch)
			}
			epoch, prev = d.Epoch, -1
		}
		missing := uint64(0)
		for why, n := range d.GapBefore {
			if why != vedette.GapSource { // it has no seq
				missing += n
			}
		}
		if d.PrevSeq != prev || int64(d.Seq) <= prev || uint64(int64(d.Seq)-prev-1) != missing {
			t.Errorf("seq %d: prev_seq %d, want %d; gap_before %v", d.Seq, d.PrevSeq, prev, d.GapBefore)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("seq %d: %v", d.Seq, err)
		}
		prev = int64(d.Seq)
	}
}

// checkNumbers checks that each picture shows a number, the same distance from
// seq throughout an epoch, and none twice. It returns the distances.
func checkNumbers(t *testing.T, out []*vedette.Detection) map[string]int64 {
	t.Helper()
	base, shown := map[string]int64{}, map[uint32]bool{}
	for _, d := range out {
		r := read(d)
		if d.Status != vedette.StatusOK || !r.HasNumber {
			t.Errorf("%s seq %d: %s %q: no number in its picture: torn or damaged", d.Epoch, d.Seq, d.Status, d.Reason)
			continue
		}
		if shown[r.Number] {
			t.Errorf("%s seq %d: number %d a second time", d.Epoch, d.Seq, r.Number)
		}
		shown[r.Number] = true
		off := int64(r.Number) - int64(d.Seq)
		if first, known := base[d.Epoch]; known && first != off {
			t.Errorf("%s seq %d shows number %d, want %d", d.Epoch, d.Seq, r.Number, int64(d.Seq)+first)
		}
		base[d.Epoch] = off
	}
	return base
}
