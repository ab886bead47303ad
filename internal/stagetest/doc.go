// Package stagetest has the tests of the stages as processes of their own: the
// built program against a NATS server, with processes and the server killed in
// mid-run.
package stagetest
