package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"

	"github.com/vedette-io/vedette/internal/testcam/onnxtest"
	"github.com/vedette-io/vedette/models"
	pcbdefects "github.com/vedette-io/vedette/models/pcb-defects"
)

// barcodeReader names the built-in network that reads the frame numbers of
// synthetic://bars.
const barcodeReader = "barcode-reader"

// builtinModel is a model that is part of the program.
type builtinModel struct {
	name, about string
	load        func() (*models.Model, error)
}

// builtinModels lists the models that need no file; the first is the default
// of detect.
func builtinModels() []builtinModel {
	return []builtinModel{
		{pcbdefects.Name, "finds six kinds of defect on printed circuit boards, and nothing else", loadPCBDefects},
		{barcodeReader, "reads the frame numbers of synthetic://bars: a check of the pipeline itself", loadBarcodeReader},
	}
}

// tellDefaultModel says, where nothing says what to look with, what is looked
// with, what that is for, and how to look for people and cars instead: then is
// what is left to do once that model is here.
func tellDefaultModel(why, then string) {
	const other = "yolox-nano"
	m := builtinModels()[0]
	tell("%s: looking with the built-in model %s, which %s", why, m.name, m.about)
	pull := "vedette models pull " + other + ", then "
	if _, err := models.DefaultPlaces().Resolve(other); err == nil {
		pull = ""
	}
	tell("for people and cars: %s%s; for others: vedette models list", pull, then)
}

func loadPCBDefects() (*models.Model, error) {
	files := pcbdefects.Files()
	manifest, err := fs.ReadFile(files, pcbdefects.Name+".yaml")
	if err != nil {
		return nil, err
	}
	m, err := models.ParseManifest(pcbdefects.Name+".yaml", manifest)
	if err != nil {
		return nil, err
	}
	onnx, err := fs.ReadFile(files, m.File)
	if err != nil {
		return nil, err
	}
	loaded := embedded(m, onnx)
	if loaded.Report.SHA256 != m.SHA256 {
		return nil, fmt.Errorf("built-in model %s: its manifest is for another file", m.Name)
	}
	return loaded, nil
}

func loadBarcodeReader() (*models.Model, error) {
	m := onnxtest.BarcodeManifest()
	m.Name = barcodeReader
	return embedded(m, onnxtest.BarcodeReader(1)), nil
}

func embedded(m models.Manifest, onnx []byte) *models.Model {
	sum := sha256.Sum256(onnx)
	return &models.Model{Manifest: m, ONNX: onnx, Path: "built in", Report: models.Report{SHA256: hex.EncodeToString(sum[:])}}
}
