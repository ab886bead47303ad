package bus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vedette-io/vedette"
)

// Accounts is the part of a NATS server's configuration that has the accounts,
// users and permissions of a site's roles. key is what stands for the public
// NKey of a role: the key itself, or a variable of the configuration.
//
// Subscribers are in an account of their own, which imports what they may see
// and ask. Permissions alone would not do: a server sends its answer to
// whatever reply subject the question names, and does not look whether the one
// who asks could publish there. A subscriber could thus have it put an answer,
// or a stored detection again, among the detections. In another account, reply
// subjects end there.
func Accounts(prefix string, key func(Role) string) string {
	t := table{vedette.Subjects{Prefix: prefix}}
	plant, subscribers := t.account(), t.account()+"_SUBSCRIBERS"
	var w conf
	w.line("# The accounts, users and permissions of vedette's roles on a NATS server, as")
	w.line("# \"vedette keys\" writes them.")
	w.line("accounts {")
	w.line("  %q {", plant)
	w.line("    jetstream: enabled")
	w.line("    # A user that is added here needs an inbox prefix of its own (nats --inbox-prefix):")
	w.line("    # subscribers see what is sent to %s.", Subscriber.inboxes())
	w.line("    users: [")
	for _, g := range []grant{t.stage(), t.worker(), t.leaf(), t.operator()} {
		w.user(g.anyDomain(), key(g.role))
	}
	w.line("    ]")
	w.line("    exports: [")
	for _, subject := range t.exported() {
		w.line("      {stream: %q, accounts: [%q]}", subject, subscribers)
	}
	for _, subject := range t.subscriberRequests() {
		response := ""
		if streamed(subject) {
			response = "response: stream, "
		}
		w.line("      {service: %q, %saccounts: [%q]}", subject, response, subscribers)
	}
	w.line("    ]")
	w.line("  }")
	w.line("  %q {", subscribers)
	w.line("    users: [")
	w.user(t.subscriber(), key(Subscriber))
	w.line("    ]")
	w.line("    imports: [")
	for _, subject := range t.exported() {
		w.line("      {stream: {account: %q, subject: %q}}", plant, subject)
	}
	for _, subject := range t.subscriberRequests() {
		w.line("      {service: {account: %q, subject: %q}}", plant, subject)
	}
	w.line("    ]")
	w.line("  }")
	w.line("}")
	return w.String()
}

// account is the name of the account that has everything but the subscribers.
func (t table) account() string {
	return strings.ToUpper(strings.ReplaceAll(strings.TrimSuffix(t.s.All(), ".>"), ".", "_"))
}

// exported is what reaches the subscribers' account by itself: what is
// published for them, and what a consumer with a delivery subject sends to
// their inboxes, as the older clients have it.
func (t table) exported() []string {
	return append(t.subscriberSees(), Subscriber.inboxes())
}

// conf is a NATS server's configuration under construction.
type conf struct{ strings.Builder }

func (w *conf) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

func (w *conf) user(g grant, key string) {
	w.line("      # %s: %s.", g.role, g.about)
	w.line("      {")
	w.line("        nkey: %s", key)
	w.line("        permissions: {")
	w.line("          publish: {")
	w.list("allow", g.publish)
	if len(g.never) > 0 {
		w.list("deny", g.never)
	}
	w.line("          }")
	w.line("          subscribe: {")
	w.list("allow", g.subscribe)
	w.line("          }")
	if g.answers {
		// A run may take as long as the model's time-out allows.
		w.line("          allow_responses: {max: 1, ttl: \"1h\"}")
	}
	w.line("        }")
	w.line("      }")
}

func (w *conf) list(what string, subjects []string) {
	w.line("            %s: [", what)
	for _, s := range slices.Compact(slices.Sorted(slices.Values(subjects))) {
		w.line("              %q", s)
	}
	w.line("            ]")
}
