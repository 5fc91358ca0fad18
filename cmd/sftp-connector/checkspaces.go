package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/space"
	"sftpconnector/status"
)

// checkSpaces says of each Space whether its inbox has room, and how its destination
// was at the last import.
func (a *app) checkSpaces(ctx context.Context) ([]interapp.Check, error) {
	if a.server == "" {
		cfg, err := a.load()
		if err != nil || !cfg.SpaceServer.Enabled() {
			return nil, err
		}
	}
	var checks []interapp.Check
	err := a.atSpaces(ctx, config.ScopeRead, space.Looking, func(s *api) error {
		all, err := s.Spaces(ctx)
		if p, ok := errors.AsType[*interapp.Problem](err); ok && (p.Status == http.StatusNotFound || p.Status == http.StatusForbidden) {
			return nil // that daemon has no Spaces, or does not tell of them
		}
		for _, one := range all {
			checks = append(checks, checkOfSpace(one))
		}
		return failed(err)
	})
	return checks, err
}

func checkOfSpace(s interapp.Space) interapp.Check {
	c := interapp.Check{
		Connector: interapp.SpaceConnector(s.ID), ConnectionStatus: s.ConnectionStatus, Hint: s.Hint, Error: s.Error,
	}
	inbox := interapp.Stage{
		Stage: "inbox", OK: s.Inbox.Full == "",
		Detail: fmt.Sprintf("%s files and directories, %s of %s", entries(s.Inbox), bytes(s.Inbox.Bytes), bytes(s.Inbox.Quota)),
	}
	if !inbox.OK {
		inbox.Detail = "uploads are refused: " + s.Inbox.Full
		c.Hint = "remove files or empty directories from the inbox, or see why they are not imported: sftp-connector space files " + s.ID
	}
	c.Stages = append(c.Stages, inbox)
	return c
}

// fine reports whether all was well, as far as it was tried.
func fine(c interapp.Check) bool {
	for _, s := range c.Stages {
		if !s.OK {
			return false
		}
	}
	switch status.Word(c.ConnectionStatus) {
	case status.ConnectionValid, status.NotChecked, status.Checking:
		return true
	}
	return false
}
