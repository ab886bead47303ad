package eval

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// classes maps labels to the classes of a data set: by their exact name, else
// by the name without regard to case, '_' and '-', where that is not ambiguous.
type classes struct {
	names []string
	exact map[string]int
	loose map[string]int // -1: ambiguous
}

func newClasses(names []string) *classes {
	c := &classes{names: names, exact: map[string]int{}, loose: map[string]int{}}
	for i, name := range names {
		c.exact[name] = i
		key := looseName(name)
		if _, twice := c.loose[key]; twice {
			c.loose[key] = -1
			continue
		}
		c.loose[key] = i
	}
	return c
}

func looseName(label string) string {
	label = strings.NewReplacer("_", " ", "-", " ").Replace(strings.ToLower(label))
	return strings.Join(strings.Fields(label), " ")
}

func (c *classes) find(label string) (class int, ok bool) {
	if i, ok := c.exact[label]; ok {
		return i, true
	}
	i, ok := c.loose[looseName(label)]
	return i, ok && i >= 0
}

// checkModel compares the labels a model knows with the classes: an error when
// they share none, a note when classes can never be found.
func (c *classes) checkModel(labels []string) (note string, err error) {
	if len(labels) == 0 {
		return "", nil
	}
	known := make([]bool, len(c.names))
	any := false
	for _, l := range labels {
		if i, ok := c.find(l); ok {
			known[i], any = true, true
		}
	}
	if !any {
		return "", fmt.Errorf("the model and the data set have no label in common: the model knows %s; the data set has %s",
			some(labels), some(c.names))
	}
	var missing []string
	for i, name := range c.names {
		if !known[i] {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return "", nil
	}
	return fmt.Sprintf("the model does not know %d of the %d classes, which therefore cannot be found: %s",
		len(missing), len(c.names), some(missing)), nil
}

// strangers counts labels that are no class.
type strangers map[string]int

// note says which were left out, the most frequent first; empty if none.
func (s strangers) note() string {
	if len(s) == 0 {
		return ""
	}
	total := 0
	for _, n := range s {
		total += n
	}
	return fmt.Sprintf("left out of the scores: detections (%d) of labels that the data set does not have: %s", total, some(s.list()))
}

func (s strangers) list() []string {
	names := slices.SortedFunc(maps.Keys(s), func(a, b string) int {
		return cmp.Or(cmp.Compare(s[b], s[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%d)", name, s[name])
	}
	return names
}

// some lists the first names of a list that may be long.
func some(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
