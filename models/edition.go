package models

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/vedette-io/vedette/internal/strictyaml"
)

// Edition names what a model answers, in 16 hexadecimal digits: its file, and
// all of its manifest that decides how pictures are made and answers are read.
// Two of one edition can stand in for each other, wherever they are loaded; the
// hash of the file alone does not say so, since the same file with another
// colour order or other labels answers something else.
func (m *Model) Edition() string {
	man := m.Manifest.withDefaults()
	// What says nothing about answers.
	man.Name, man.File, man.Licence, man.Source, man.LabelSet = "", "", "", "", ""
	man.SHA256 = m.Report.SHA256
	return digest(man)
}

// Fit names what pictures a model takes, in 16 hexadecimal digits: one that was
// made for a model can be given to another of the same fit.
func (in Input) Fit() string {
	in = Manifest{Input: in}.withDefaults().Input
	// What happens to a picture at the worker.
	in.Name, in.Layout, in.Scale, in.Mean, in.Std, in.Type = "", "", 0, nil, nil, ""
	return digest(in)
}

// digest is short: it tells apart a handful of things. What is empty does not
// count, so that a later version with more to say has the same for what does not
// say it.
func digest(v any) string {
	data, err := strictyaml.Encode(v)
	if err != nil { // a number that is none; a manifest that was read has none
		data = fmt.Appendf(nil, "%+v", v)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
