package requests

import (
	"fmt"

	"sftpconnector/interapp"
	"sftpconnector/interapp/notify"
)

// Fill has s work on n requests of a token that never end, until it is drained.
func (s *Service) Fill(token string, n int) (drain func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := func(i int) string { return fmt.Sprintf("fill %s %d", token, i) }
	for i := range n {
		s.jobs[id(i)] = &job{token: token}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range n {
			delete(s.jobs, id(i))
		}
	}
}

// Outbox is what the Sender sees of s.
func (s *Service) Outbox() notify.Outbox { return outbox{s.ledger.Outbox(), s} }

// ReplyHead reads the beginning of a reply.
func ReplyHead(text string) interapp.Reply { return replyHead(text) }
