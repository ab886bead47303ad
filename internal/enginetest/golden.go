package enginetest

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/testkit"
)

// RunMNIST runs the digit classifier of the ONNX model zoo on its three
// published pairs of input and output. The test needs the shared test data.
func RunMNIST(t *testing.T, e engine.Engine) {
	r := NewRunner(t, Load(t, e, readFile(t, "models/mnist.onnx"), engine.LoadOptions{}), 1)
	for run := range 4 { // each pair again and again: a run must not spoil the next
		for pair := range 3 {
			copy(r.Input().F32, readTensor(t, fmt.Sprintf("golden/mnist/test_data_set_%d_input_0.pb", pair)))
			outs, err := r.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := readTensor(t, fmt.Sprintf("golden/mnist/test_data_set_%d_output_0.pb", pair))
			if err := Near(outs[0].F32, want); err != nil {
				t.Errorf("run %d of pair %d: %v", run+1, pair, err)
			}
		}
	}
}

func readFile(tb testing.TB, rel string) []byte {
	tb.Helper()
	b, err := os.ReadFile(testkit.Data(tb, rel))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// readTensor reads the raw float32 values of a TensorProto.
func readTensor(tb testing.TB, rel string) []float32 {
	tb.Helper()
	b := readFile(tb, rel)
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			break
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			break
		}
		if num == 9 { // raw_data
			raw, _ := protowire.ConsumeBytes(b[n:])
			values := make([]float32, len(raw)/4)
			for i := range values {
				values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
			}
			return values
		}
		b = b[n+size:]
	}
	tb.Fatalf("%s holds no raw data", rel)
	return nil
}
