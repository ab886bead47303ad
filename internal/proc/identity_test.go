package proc_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/vedette-io/vedette/internal/proc"
)

func TestIdentityGone(t *testing.T) {
	self := proc.Self()
	if self == "" {
		t.Skip("this system does not tell processes apart")
	}
	if proc.Gone(self) {
		t.Error("this process counts as gone")
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	id := proc.Of(child.Process.Pid)
	if id == "" || proc.Gone(id) {
		t.Errorf("a living child %q counts as gone", id)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if !proc.Gone(id) {
		t.Error("a child that was killed counts as there")
	}
	if id := proc.Of(child.Process.Pid); id != "" {
		t.Errorf("a process that is gone has the id %q", id)
	}
}

// What has ended and waits for its parent works no more.
func TestZombie(t *testing.T) {
	if proc.Self() == "" {
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
	id := proc.Of(child.Process.Pid)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 1)); err == nil {
		t.Errorf("it said %d bytes", n)
	}
	for !proc.Gone(id) { // it closes its end a moment before it is gone
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}

func TestUnknown(t *testing.T) {
	self := proc.Self()
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
		if proc.Gone(id) != gone {
			t.Errorf("%q: gone is %v", id, !gone)
		}
	}
}
