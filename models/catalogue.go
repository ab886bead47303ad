package models

import (
	_ "embed" // for the catalogue
	"fmt"
	"slices"
	"sync"

	"github.com/vedette-io/vedette/internal/strictyaml"
)

//go:embed catalogue.yaml
var catalogueFile []byte

// Entry is a model of the catalogue: one that can be pulled.
type Entry struct {
	Name string `yaml:"name"`
	// About is one line for people.
	About   string `yaml:"about"`
	URL     string `yaml:"url"`
	Bytes   int    `yaml:"bytes"`
	SHA256  string `yaml:"sha256"`
	Licence string `yaml:"licence"`
	// Unsupported says why the model cannot be run yet; empty when it can.
	Unsupported string `yaml:"unsupported"`
}

// readCatalogue reads the embedded file once; the tests check it.
var readCatalogue = sync.OnceValue(func() []Entry {
	var file struct {
		Models []Entry `yaml:"models"`
	}
	strictyaml.Decode("catalogue.yaml", catalogueFile, &file, nil)
	return file.Models
})

// Catalogue lists the models that can be pulled, by name.
func Catalogue() []Entry {
	all := slices.Clone(readCatalogue())
	slices.SortFunc(all, func(a, b Entry) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}

// Find returns the catalogue's entry of that name; the error names what is
// close.
func Find(name string) (Entry, error) {
	var names []string
	for _, e := range Catalogue() {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return Entry{}, fmt.Errorf("there is no model %q in the catalogue%s; there are %s", name, strictyaml.DidYouMean(name, names), strictyaml.OneOf(names))
}
