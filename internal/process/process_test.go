package process_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/process"
)

func TestGone(t *testing.T) {
	self := process.Self()
	if self == "" {
		t.Skip("this system does not tell processes apart")
	}
	if process.Gone(self) {
		t.Error("this process counts as gone")
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	id := process.Of(child.Process.Pid)
	if id == "" || process.Gone(id) {
		t.Errorf("a living child %q counts as gone", id)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if !process.Gone(id) {
		t.Error("a child that was killed counts as there")
	}
	if id := process.Of(child.Process.Pid); id != "" {
		t.Errorf("a process that is gone has the id %q", id)
	}
}

// What has ended and waits for its parent works no more.
func TestZombie(t *testing.T) {
	if process.Self() == "" {
		t.Skip("this system does not tell processes apart")
	}
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	id := process.Of(child.Process.Pid)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 1)); err == nil {
		t.Errorf("it said %d bytes", n)
	}
	for !process.Gone(id) { // it closes its end a moment before it is gone
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}

func TestUnknown(t *testing.T) {
	self := process.Self()
	if self == "" {
		t.Skip("this system does not tell processes apart")
	}
	f := strings.Fields(self)
	if len(f) != 4 || f[2] != strconv.Itoa(os.Getpid()) {
		t.Fatalf("the id is %q", self)
	}
	for id, gone := range map[string]bool{
		"":                                       false,
		"x":                                      false,
		"other-boot " + strings.Join(f[1:], " "): false,
		strings.Join([]string{f[0], "pid:[1]", f[2], f[3]}, " "):  false,
		strings.Join([]string{f[0], f[1], f[2], f[3] + "0"}, " "): true, // the number is another's by now
		strings.Join([]string{f[0], f[1], "x", f[3]}, " "):        false,
	} {
		if process.Gone(id) != gone {
			t.Errorf("%q: gone is %v", id, !gone)
		}
	}
}
