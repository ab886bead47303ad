//go:build cgo

package ort

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/engine"
	"github.com/vedette-io/vedette/internal/testkit"
)

// TestEngineFolder: TensorRT's engines are good for one model, library and kind
// of GPU.
func TestEngineFolder(t *testing.T) {
	h100 := gpu{"NVIDIA H100 80GB HBM3", "9.0"}
	name := engineFolder([]byte("model"), "1.30.0", 101501, h100)
	if !strings.HasSuffix(name, "-ort1.30.0-trt101501-nvidia-h100-80gb-hbm3-sm9.0") || len(name) > 200 {
		t.Errorf("folder %s", name)
	}
	seen := map[string]bool{name: true}
	for _, other := range []string{
		engineFolder([]byte("another"), "1.30.0", 101501, h100), engineFolder([]byte("model"), "1.31.0", 101501, h100),
		engineFolder([]byte("model"), "1.30.0", 101502, h100), engineFolder([]byte("model"), "1.30.0", 101501, gpu{"NVIDIA A100-SXM4-40GB", "8.0"}),
	} {
		if seen[other] {
			t.Errorf("%s is not of its own", other)
		}
		seen[other] = true
	}
}

// TestTensorRTOptions: the range of batches is the one that is used.
func TestTensorRTOptions(t *testing.T) {
	dev := engine.Device{Kind: engine.TensorRT, Index: 1}
	pic := engine.Picture{Name: "images", Batch: -1, Shape: [3]int{3, 416, 416}}
	for name, c := range map[string]struct {
		batches       []int
		min, opt, max string
	}{
		"any":        {nil, "1", "8", "16"},
		"configured": {[]int{1, 2, 4}, "1", "2", "4"},
		"one size":   {[]int{6}, "1", "6", "6"},
	} {
		o := tensorRTOptions(dev, "/cache", c.batches, pic)
		for key, batch := range map[string]string{"min": c.min, "opt": c.opt, "max": c.max} {
			if got, want := o["trt_profile_"+key+"_shapes"], "images:"+batch+"x3x416x416"; got != want {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
	}
	pic.Batch = 1
	want := map[string]string{
		"device_id": "1", "trt_engine_cache_enable": "1", "trt_engine_cache_path": "/cache", "trt_timing_cache_enable": "1", "trt_timing_cache_path": "/cache",
	}
	if o := tensorRTOptions(dev, "/cache", nil, pic); !maps.Equal(o, want) {
		t.Errorf("a fixed batch: %v, want %v", o, want)
	}
}

// TestPickGPU says what is wrong where there is no GPU, or not this one.
func TestPickGPU(t *testing.T) {
	list, err := gpus()
	_, picked := pickGPU(engine.Device{Kind: engine.CUDA, Index: 99})
	switch {
	case err != nil && (picked == nil || !strings.Contains(picked.Error(), err.Error()) || !strings.Contains(picked.Error(), "install the driver, or use device cpu")),
		err == nil && len(list) == 0 && (picked == nil || !strings.Contains(picked.Error(), "no NVIDIA GPU")),
		err == nil && len(list) > 0 && (picked == nil || !strings.Contains(picked.Error(), "cuda:0 ("+list[0].name+")")):
		t.Errorf("GPUs %v, %v: %v", list, err, picked)
	}
	t.Log(picked)
}

// driver is a libcuda.so.1 with two GPUs, or one whose start fails.
const driver = `
#include <stdlib.h>
#include <stdio.h>
int cuInit(unsigned flags) { return getenv("BROKEN") ? 999 : 0; }
int cuDeviceGetCount(int *n) { *n = 2; return 0; }
int cuDeviceGet(int *d, int i) { *d = 10 + i; return 0; }
int cuDeviceGetName(char *name, int length, int d) { snprintf(name, length, "GPU %d", d); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 9 : 0; return 0; }
int cuGetErrorString(int e, const char **s) { *s = "unknown error of the driver"; return 0; }
`

// TestDriver asks a driver that is made here, in a process of its own.
func TestDriver(t *testing.T) {
	if os.Getenv("VEDETTE_TEST_DRIVER") != "" {
		list, err := gpus()
		_, picked := pickGPU(engine.Device{Kind: engine.CUDA, Index: 2})
		fmt.Printf("GPUs %v, error %v, picked %v\n", list, err, picked)
		return
	}
	dir := t.TempDir()
	source, lib := filepath.Join(dir, "driver.c"), filepath.Join(dir, "libcuda.so.1")
	if err := os.WriteFile(source, []byte(driver), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", lib, source).CombinedOutput(); err != nil {
		testkit.Missing(t, fmt.Sprintf("no C compiler to make a driver with: %v %s", err, out))
	}
	for name, c := range map[string]struct{ env, says string }{
		"in order": {"WELL=1", "GPUs [{GPU 10 9.0} {GPU 11 9.0}], error <nil>, picked there is no such GPU; this machine has cuda:0 (GPU 10), cuda:1 (GPU 11)"},
		"broken":   {"BROKEN=1", "error the NVIDIA driver answers cuInit with error 999: unknown error of the driver"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestDriver$", "-test.v")
		cmd.Env = append(os.Environ(), "VEDETTE_TEST_DRIVER=1", "LD_LIBRARY_PATH="+dir, c.env)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: %v, want %q in:\n%s", name, err, c.says, out)
		}
	}
}
