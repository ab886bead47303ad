package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Self identifies this process. Its number alone would not do: it is used again,
// also after a restart of the machine and in another container.
//
// The identity is empty where that cannot be done, which is everywhere but on
// Linux.
func Self() string { return Of(os.Getpid()) }

// Of identifies a running process by the start of the machine, the name space
// of process numbers, its number and the time of its own start. It is empty if
// there is no such process.
func Of(pid int) string {
	world, ok := world()
	if !ok {
		return ""
	}
	start, _, ok := look(pid)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s %d %s", world, pid, start)
}

// Gone reports whether the process that id identifies is certainly gone. It is
// false for one of another machine or container, of which nothing can be said.
func Gone(id string) bool {
	here, ok := world()
	rest, same := strings.CutPrefix(id, here+" ")
	if !ok || !same {
		return false
	}
	number, start, ok := strings.Cut(rest, " ")
	pid, err := strconv.Atoi(number)
	if !ok || err != nil {
		return false
	}
	now, ended, there := look(pid)
	return !there || now != start || ended
}

// world is where process numbers mean the same as here.
func world() (string, bool) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", false
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", false
	}
	return strings.TrimSpace(string(boot)) + " " + space, true
}

// look returns when a process began, in ticks of the machine's clock, and
// whether it has ended and only its parent does not know yet. there is false
// only if the process is not.
func look(pid int) (start string, ended, there bool) {
	f, err := stat(pid)
	if err != nil {
		return "", false, false
	}
	const starttime = 22 - firstField
	return f[starttime], f[0] == "Z" || f[0] == "X", true
}
