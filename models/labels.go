package models

import (
	"embed"
	"strings"
)

//go:embed labels/*.txt
var labelFiles embed.FS

// LabelSets are the names of the lists of labels that the program has.
func LabelSets() []string { return []string{"coco80", "imagenet1000"} }

// LabelSet returns one of [LabelSets] in the order of its class numbers; nil
// when there is none of that name.
func LabelSet(name string) []string {
	data, err := labelFiles.ReadFile("labels/" + name + ".txt")
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}
