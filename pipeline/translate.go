package pipeline

import (
	"fmt"
	"time"

	"github.com/vedette-io/vedette/configs"
	"github.com/vedette-io/vedette/ingest"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/models"
	"github.com/vedette-io/vedette/preprocess"
)

// FromConfig makes a pipeline's configuration of a configuration file's. load
// finds and reads a model; it returns nil for one that is not on this machine
// and is to be fetched from the bus.
func FromConfig(c configs.Config, load func(configs.Model) (*models.Model, error)) (Config, error) {
	out := Config{
		Site:  c.Site,
		Bus:   BusConfig(c.Bus),
		JPEG:  c.Bus.JPEG,
		Spool: int64(min(c.Bus.Spool, max(c.Bus.MaxStore/2, 1<<20))),
		Limits: bus.Limits{
			Age: time.Duration(c.Retention.Detections.Age), Bytes: int64(c.Retention.Detections.Bytes), Replicas: c.Retention.Detections.Replicas,
		},
	}
	for _, m := range c.Models {
		loaded, err := load(m)
		if err != nil {
			return Config{}, err
		}
		if loaded != nil {
			loaded.Manifest.Name = m.Name
		}
		out.Models = append(out.Models, Model{
			Loaded: loaded, Name: m.Name, Engine: string(m.Engine), Device: m.Device, Workers: m.Workers, Threads: m.Threads, Timeout: time.Duration(m.Timeout),
			Weight: m.Weight, GPUMemory: int64(m.GPUMemory),
			Batch: preprocess.BatchConfig{Sizes: m.Batch.Sizes, MaxWait: time.Duration(m.Batch.MaxWait)},
		})
	}
	for _, c := range c.Cameras {
		camera, err := fromCamera(c)
		if err != nil {
			return Config{}, err
		}
		out.Cameras = append(out.Cameras, camera)
	}
	return out, nil
}

// BusConfig makes the bus's configuration of a configuration file's.
func BusConfig(b configs.Bus) bus.Config {
	return bus.Config{
		URL: b.URL, Listen: b.Listen, Store: b.Store, MaxStore: int64(b.MaxStore), Prefix: b.Prefix,
		User: b.User, Password: b.Password, NKey: b.NKey, Creds: b.Creds,
		Inbox: b.Inbox, Domain: b.Domain, CA: b.CA, Cert: b.Cert, Key: b.Key,
		SyncAlways: b.Sync == 0, SyncInterval: time.Duration(b.Sync), Leafs: b.Leafs,
		Hub: bus.Hub{URL: b.Hub.URL, NKey: b.Hub.NKey, Creds: b.Hub.Creds, CA: b.Hub.CA, Cert: b.Hub.Cert, Key: b.Hub.Key, Domain: b.Hub.Domain},
	}
}

func fromCamera(c configs.Camera) (Camera, error) {
	src, err := ingest.ParseSource(c.Source)
	if err != nil {
		return Camera{}, fmt.Errorf("camera %s: %w", c.ID, err)
	}
	out := Camera{
		Ingest: ingest.Config{
			ID: c.ID, Source: src, Delivery: ingest.Delivery(c.Delivery), Transport: string(c.Transport), Decode: string(c.Decode),
			Memory: int64(c.Capture.Memory), CPU: c.Capture.CPU, Ring: int64(c.Capture.Ring),
			OpenTimeout: time.Duration(c.Timeouts.Open), FirstFrame: time.Duration(c.Timeouts.FirstFrame), Silence: time.Duration(c.Timeouts.Silence),
		},
		Owner: preprocess.CameraConfig{ID: c.ID, Delivery: preprocess.Delivery(c.Delivery)},
	}
	if src.Finite() {
		out.Ingest.OpenTimeout = 0 // a file's own: the configured one is for cameras
	}
	for _, d := range c.Detect {
		out.Owner.Detect = append(out.Owner.Detect, preprocess.DetectConfig{Model: d.Model, FPS: d.FPS, MinScore: d.MinScore, Labels: d.Labels})
	}
	out.Ingest.FPS = topRate(out.Owner.Detect)
	if c.Motion.Enabled {
		out.Owner.Motion = &preprocess.GateConfig{
			Threshold: c.Motion.Threshold, MinArea: c.Motion.MinArea, Hold: time.Duration(c.Motion.Hold), Adapt: time.Duration(c.Motion.Adapt),
		}
	}
	if on := c.Fitness.Enabled; (on == nil && src.Live() && src.Kind() != ingest.Synthetic) || (on != nil && *on) {
		out.Owner.Fitness = &preprocess.FitnessConfig{
			Black: c.Fitness.Black, Covered: c.Fitness.Covered, Blurred: c.Fitness.Blurred,
			Settle: time.Duration(c.Fitness.Settle), Frozen: time.Duration(c.Fitness.Frozen),
		}
	}
	return out, nil
}

// topRate is the rate capture has to give: the highest any model asks for, or
// 0, all frames, if one asks for all.
func topRate(detect []preprocess.DetectConfig) float64 {
	top := 0.0
	for _, d := range detect {
		if d.FPS <= 0 {
			return 0
		}
		top = max(top, d.FPS)
	}
	return top
}
