package connector

import (
	"context"
	"log/slog"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/status"
	"sftpconnector/sync/ledger"
)

// Try tests settings that no connector has yet, stage by stage up to the first that
// fails. It leaves the connector of that name, if there is one, alone: its Connection
// Status and its holds stay. observe, which may be nil, is told of each stage.
func (s *Set) Try(ctx context.Context, cfg *config.Connector, observe status.Observer) (interapp.Check, error) {
	memory, err := s.ledger.Connector(ctx, cfg.Name)
	if err != nil {
		return interapp.Check{}, err
	}
	parts := s.parts
	// A login that is fetched for a try is not kept.
	parts.Credentials = new(Credentials)
	defer parts.Credentials.Close()
	log := parts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := newEnds(cfg, parts, ledger.Remembered{Connector: memory}, func() int64 { return 0 }, log.With("connector", cfg.Name))
	stages := []status.Stage{}
	err = e.check(ctx, func(stage status.Stage) {
		stages = append(stages, stage)
		observe.Report(stage)
	})
	r := interapp.Check{Connector: cfg.Name, ConnectionStatus: string(status.Of(err)), Stages: stages}
	if err != nil {
		r.Error, r.Hint = err.Error(), status.HintOf(err)
	}
	return r, nil
}
