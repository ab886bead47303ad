package bus

import (
	"cmp"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// clusterReplicas lets one server of a cluster die, or be updated, without a
// loss and without a stop.
const clusterReplicas = 3

// replicas is how many servers are to keep something: as many as were asked for,
// or three of a cluster's.
func (b *Bus) replicas(asked int) int {
	switch {
	case asked > 0:
		return asked
	case b.server == nil && b.control.ConnectedClusterName() != "": // one with leaf nodes has a name, too
		return clusterReplicas
	}
	return 1
}

// replicated makes something that as many servers keep as [Bus.replicas] says.
// Where nobody asked for a number and the cluster has fewer servers, one keeps it.
func (b *Bus) replicated(asked int, name string, make func(replicas int) error) error {
	n := b.replicas(asked)
	err := make(n)
	if asked > 0 || n == 1 || !fewServers(err) {
		return err
	}
	if noCluster(err) { // a leaf node has the name of a cluster, too
		return make(1)
	}
	b.log.Warn("the NATS cluster has fewer than three servers that could keep a copy: one keeps it", "stream", name, "error", err)
	return make(1)
}

// replicator is [Bus.replicated] or [Bus.replicatedAtPlant].
type replicator = func(asked int, name string, make func(replicas int) error) error

// replicatedAtPlant is replicated for what the hub keeps, of which only it knows
// how many servers it has.
func (b *Bus) replicatedAtPlant(asked int, name string, make func(replicas int) error) error {
	if b.hub == nil {
		return b.replicated(asked, name, make)
	}
	err := make(cmp.Or(asked, clusterReplicas))
	if asked > 0 || !fewServers(err) {
		return err
	}
	return make(1)
}

// raise changes the replicas of a stream that there is to those that were asked
// for, or up to three of a cluster's, never down from there.
func (b *Bus) raise(have *jetstream.StreamConfig, asked int) (changed bool) {
	n := cmp.Or(asked, max(b.replicas(0), have.Replicas))
	changed = n != have.Replicas
	have.Replicas = n
	return changed
}

// noCluster reports that there is one server alone.
func noCluster(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == errNoCluster
}

// fewServers reports that there are not as many servers as replicas.
func fewServers(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == errNoPeers || api.ErrorCode == errNoCluster)
}
