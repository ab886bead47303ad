package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/vedette-io/vedette/client"
	"github.com/vedette-io/vedette/internal/bus"
)

// exampleServer stands in for a running vedette that has seen two frames.
func exampleServer() (url string, stop func()) {
	ctx := context.Background()
	b, err := bus.Start(ctx, bus.Config{Listen: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		log.Fatal(err)
	}
	if err := b.EnsureDetections(ctx, bus.DefaultDetectionLimits()); err != nil {
		log.Fatal(err)
	}
	w := b.NewDetectionWriter()
	stored := make(chan error, 2)
	w.Write(ctx, detection("gate", 0, -1), func(err error) { stored <- err })
	w.Write(ctx, detection("gate", 1, 0, "person", "car"), func(err error) { stored <- err })
	if err := errors.Join(<-stored, <-stored); err != nil {
		log.Fatal(err)
	}
	return b.Address(), func() {
		if err := errors.Join(w.Close(), b.Close()); err != nil {
			log.Print(err)
		}
	}
}

// Print what a camera has seen in the last hour, and go on with what it sees.
func ExampleClient_Detections() {
	url, stop := exampleServer()
	defer stop()

	c, err := client.Connect(url)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	enough := errors.New("enough")
	filter := client.Filter{Camera: "gate", Since: time.Now().Add(-time.Hour)}
	err = c.Detections(context.Background(), filter, func(m client.Message) error {
		if m.Objects == nil {
			fmt.Println("frame", m.Seq, "could not be judged:", m.Status, m.Reason)
			return nil
		}
		fmt.Println("frame", m.Seq, "has", len(*m.Objects), "objects")
		for _, o := range *m.Objects {
			fmt.Printf("  %s %.2f\n", o.Label, o.Score)
		}
		if m.Seq == 1 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		log.Fatal(err)
	}
	// Output:
	// frame 0 has 0 objects
	// frame 1 has 2 objects
	//   person 0.90
	//   car 0.90
}
