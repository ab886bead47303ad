package models

import (
	"embed"
	"path"
	"strings"
	"sync"

	"github.com/vedette-io/vedette/internal/strictyaml"
)

//go:embed known/*.yaml
var knownFiles embed.FS

// known is a model that the program recognises by its hash.
type known struct {
	manifest Manifest
	doc      *strictyaml.Doc // which keys the manifest gives
	// unsupported says why it cannot be run.
	unsupported string
}

// readKnown reads the manifests in known/ once. They are part of the program
// and checked by its tests, so faults in them are not looked at here.
var readKnown = sync.OnceValue(func() map[string]known {
	all := map[string]known{}
	entries, _ := knownFiles.ReadDir("known")
	for _, e := range entries {
		k := readKnownFile(e.Name())
		if k.manifest.Name == "" {
			k.manifest.Name = strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
		}
		all[k.manifest.Name] = k
	}
	for _, e := range Catalogue() {
		k, ok := all[e.Name]
		if !ok {
			k = known{manifest: Manifest{Name: e.Name}, doc: &strictyaml.Doc{}, unsupported: e.Unsupported}
		}
		k.manifest.SHA256, k.manifest.Source, k.manifest.Licence = e.SHA256, e.URL, e.Licence
		all[e.Name] = k
	}
	return all
})

func readKnownFile(name string) known {
	data, _ := knownFiles.ReadFile("known/" + name)
	m, doc := parseManifest("", data)
	return known{manifest: m, doc: doc}
}

// knownByHash finds a known model by the hash of its file.
func knownByHash(sha256 string) (known, bool) {
	for _, k := range readKnown() {
		if k.manifest.SHA256 == sha256 {
			return k, true
		}
	}
	return known{}, false
}
