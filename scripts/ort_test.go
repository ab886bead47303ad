//go:build linux

// Package scripts_test tests the shell scripts that set a machine up.
package scripts_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/testkit"
)

// tools are the commands every Debian has; a test's machine has these and what
// it adds.
func tools() []string {
	return strings.Fields("awk bash cat cut dirname flock grep gzip id mkdir mktemp mv rm sha256sum tail tar tr")
}

// The clients that fetch, as scripts: they answer from the folder $REGISTRY, as
// the real ones do from theirs, and write down that they were called.
const (
	fakeNpm  = `echo npm >>"$CALLS"; cat "$REGISTRY/package.tgz" >onnxruntime-node-1.30.0.tgz || { echo "npm error network unreachable" >&2; exit 1; }`
	fakeCurl = `echo curl >>"$CALLS"; while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
cat "$REGISTRY/${1##*/}" >"$out" || { echo "curl: (22) The requested URL returned error: 404" >&2; exit 22; }`
	fakePython = `[ "$1" = -c ] && exec "$PYTHON" "$@"
[ "$3" = --version ] && exit 0
echo pip >>"$CALLS"; while [ $# -gt 1 ]; do [ "$1" = -d ] && out=$2; shift; done
mkdir -p "$out" && cat "$REGISTRY/wheel.whl" >"$out/onnxruntime-1.30.0-cp311.whl" || { echo "ERROR: No matching distribution" >&2; exit 1; }`
	// apt-get brings what $REGISTRY has for the packages that it is asked for.
	fakeApt = `for p in "$@"; do case $p in curl|python3-pip) echo "apt $p" >>"$CALLS"; cat "$REGISTRY/apt-$p" >/dev/null || exit 100
if [ $p = curl ]; then cp="$REGISTRY/apt-curl"; to=curl; else cp="$REGISTRY/apt-python3-pip"; to=python3; fi
cat "$cp" >"$BIN/$to"; "$CHMOD" +x "$BIN/$to";; esac; done`
)

// machine is a PATH of its own, a cache of its own and the scripts with the
// checksums of files made here.
type machine struct {
	t                          *testing.T
	dir, bin, registry, script string
}

func arch() (uname, npm, release string) {
	if runtime.GOARCH == "arm64" {
		return "aarch64", "arm64", "aarch64"
	}
	return "x86_64", "x64", "x64"
}

func newMachine(t *testing.T, clients ...string) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir()}
	m.bin, m.registry = filepath.Join(m.dir, "bin"), filepath.Join(m.dir, "registry")
	for _, d := range []string{m.bin, m.registry, filepath.Join(m.dir, "scripts")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range append(tools(), "uname") {
		path, err := exec.LookPath(tool)
		if err != nil {
			testkit.Missing(t, "this machine has no "+tool)
		}
		if err := os.Symlink(path, filepath.Join(m.bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range clients {
		m.client(filepath.Join(m.bin, c), map[string]string{"npm": fakeNpm, "curl": fakeCurl, "python3": fakePython, "apt-get": fakeApt}[c])
	}
	for _, name := range []string{"ort.sh", "apt.sh"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m.write(filepath.Join(m.dir, "scripts", name), b, 0o755)
	}
	m.script = filepath.Join(m.dir, "scripts", "ort.sh")
	return m
}

func (m *machine) write(path string, b []byte, mode os.FileMode) {
	m.t.Helper()
	if err := os.WriteFile(path, b, mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) client(path, body string) {
	m.write(path, []byte("#!/bin/bash\n"+body+"\n"), 0o755)
}

// publish puts the packages into the registry, pins what they hold, and then
// swaps some for others.
func (m *machine) publish(swapped []string) {
	m.t.Helper()
	uname, _, _ := arch()
	pins := "1.30.0 " + uname
	m.client(filepath.Join(m.registry, "apt-curl"), fakeCurl)
	m.client(filepath.Join(m.registry, "apt-python3-pip"), fakePython)
	m.write(filepath.Join(m.dir, "scripts", "ort.sha256"), fmt.Appendf(nil, "%[1]s npm %[2]x\n%[1]s pip %[3]x\n%[1]s release %[4]x\n", pins,
		sha256.Sum256([]byte("from npm")), sha256.Sum256([]byte("from pip")), sha256.Sum256(m.pack(releaseFile(), "from release"))), 0o644)
	for file, content := range map[string]string{"package.tgz": "from npm", "wheel.whl": "from pip", releaseFile(): "from release"} {
		if slices.Contains(swapped, file) {
			content = "from elsewhere"
		}
		m.write(filepath.Join(m.registry, file), m.pack(file, content), 0o644)
	}
}

func releaseFile() string {
	_, _, release := arch()
	return "onnxruntime-linux-" + release + "-1.30.0.tgz"
}

// pack is the file of the registry with this library in it.
func (m *machine) pack(file, content string) []byte {
	m.t.Helper()
	_, npm, _ := arch()
	switch file {
	case "package.tgz":
		return tgz(m.t, "package/bin/napi-v6/linux/"+npm+"/libonnxruntime.so.1", content)
	case releaseFile():
		return tgz(m.t, strings.TrimSuffix(file, ".tgz")+"/lib/libonnxruntime.so.1.30.0", content)
	}
	var wheel bytes.Buffer
	w := zip.NewWriter(&wheel)
	f, err := w.Create("onnxruntime/capi/libonnxruntime.so.1.30.0")
	if err == nil {
		_, err = f.Write([]byte(content))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		m.t.Fatal(err)
	}
	return wheel.Bytes()
}

func tgz(t *testing.T, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))})
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// run runs ort.sh and returns what the cache then has ("" for nothing), the
// clients that were called, and what was said.
func (m *machine) run(env ...string) (library, calls, said string) {
	m.t.Helper()
	// The interpreter itself: what is called python3 may be a script.
	python, err := exec.Command("python3", "-c", "import sys; print(sys.executable, end='')").Output()
	if err != nil {
		testkit.Missing(m.t, "this machine has no python3, which reads a wheel")
	}
	chmod, err := exec.LookPath("chmod")
	if err != nil {
		m.t.Fatal(err)
	}
	log := filepath.Join(m.dir, "calls")
	m.write(log, nil, 0o644)
	cmd := exec.Command("/bin/bash", m.script)
	cmd.Env = append([]string{"PATH=" + m.bin, "BIN=" + m.bin, "REGISTRY=" + m.registry, "CALLS=" + log, "PYTHON=" + string(python), "CHMOD=" + chmod,
		"XDG_CACHE_HOME=" + filepath.Join(m.dir, "cache"), "HOME=" + m.dir}, env...)
	out, err := cmd.CombinedOutput()
	b, readErr := os.ReadFile(filepath.Join(m.dir, "cache/vedette/onnxruntime-1.30.0/libonnxruntime.so.1"))
	if (err == nil) != (readErr == nil) && len(env) == 0 {
		m.t.Errorf("exit %v, but the library: %v\n%s", err, readErr, out)
	}
	left, err := filepath.Glob(filepath.Join(m.dir, "cache/vedette/*/.fetch.*"))
	if err != nil || len(left) > 0 {
		m.t.Errorf("left behind: %v %v", left, err)
	}
	c, err := os.ReadFile(log)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b), strings.Join(strings.Fields(strings.ReplaceAll(string(c), "apt ", "apt:")), " "), string(out)
}

// TestOrtRoutes lets ort.sh find the library on machines with different tools,
// some of whose downloads are absent, cut off or not what is pinned.
func TestOrtRoutes(t *testing.T) {
	for _, tc := range []struct {
		name     string
		clients  []string
		absent   []string // of the registry
		cut      []string // downloads that end early
		swapped  []string // other than what is pinned
		library  string
		calls    string
		sentence string
	}{
		{name: "npm first", clients: []string{"npm", "python3", "curl", "apt-get"}, library: "from npm", calls: "npm"},
		{name: "pip alone", clients: []string{"python3"}, library: "from pip", calls: "pip"},
		{name: "curl alone", clients: []string{"curl"}, library: "from release", calls: "curl"},
		{name: "npm offline, pip works", clients: []string{"npm", "python3"}, absent: []string{"package.tgz"}, library: "from pip", calls: "npm pip", sentence: "npm error network unreachable"},
		{name: "npm cut off, curl works", clients: []string{"npm", "curl"}, cut: []string{"package.tgz"}, library: "from release", calls: "npm curl"},
		{name: "wheel cut off, curl works", clients: []string{"python3", "curl"}, cut: []string{"wheel.whl"}, library: "from release", calls: "pip curl"},
		{name: "npm swapped, pip works", clients: []string{"npm", "python3"}, swapped: []string{"package.tgz"}, library: "from pip", calls: "npm pip", sentence: "not using it"},
		{name: "nothing there: curl comes by apt", clients: []string{"apt-get"}, library: "from release", calls: "apt:curl curl", sentence: "installing curl"},
		{name: "nothing there, no release: pip comes by apt", clients: []string{"apt-get"}, absent: []string{releaseFile()}, library: "from pip", calls: "apt:curl curl apt:python3-pip pip", sentence: "installing python3-pip"},
		{name: "nothing at all", sentence: "cannot fetch ONNX Runtime 1.30.0"},
		{name: "all swapped", clients: []string{"npm", "python3", "curl"}, swapped: []string{"package.tgz", "wheel.whl", releaseFile()}, calls: "npm pip curl", sentence: "not using it"},
		{name: "release cut off", clients: []string{"curl"}, cut: []string{releaseFile()}, calls: "curl", sentence: "not using it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, tc.clients...)
			m.publish(tc.swapped)
			for _, f := range tc.absent {
				if err := os.Remove(filepath.Join(m.registry, f)); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range tc.cut {
				if err := os.Truncate(filepath.Join(m.registry, f), 40); err != nil {
					t.Fatal(err)
				}
			}
			library, calls, said := m.run()
			if library != tc.library || calls != tc.calls || !strings.Contains(said, tc.sentence) {
				t.Errorf("library %q by %q, want %q by %q, and %q in:\n%s", library, calls, tc.library, tc.calls, tc.sentence, said)
			}
			if tc.library == "" {
				return
			}
			// Offline with a warm cache: no client is called, nothing is said.
			if err := os.RemoveAll(m.registry); err != nil {
				t.Fatal(err)
			}
			if library, calls, said := m.run(); library != tc.library || calls != "" || said != "" {
				t.Errorf("again, with a warm cache: %q by %q, said %q", library, calls, said)
			}
		})
	}
}
