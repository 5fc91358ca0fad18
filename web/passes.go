package web

import (
	"net/http"

	"sftpconnector/interapp"
)

// passesPage is the Passes page of a connector.
type passesPage struct {
	connectorPage
	Passes []interapp.Pass
	Charts []chart
}

// chartedPasses is how many passes are drawn and listed.
const chartedPasses = 100

func passes(a *ask) error {
	base, err := a.connector("passes")
	if err != nil {
		return err
	}
	page := passesPage{connectorPage: base}
	if page.Passes, err = a.api.Passes(a.Context(), base.Name, chartedPasses); err != nil {
		return err
	}
	page.Charts = chartsOf(page.Passes)
	return a.show(http.StatusOK, "passes", titled(base.Name, "Passes"), page)
}

// Failures are those of a pass: the ledger keeps them by file, and the connector has those
// of its last pass.
func (p passesPage) Failures(pass interapp.Pass) []interapp.FileFailure {
	if last := p.C.LastPass; last != nil && last.Pass == pass.Pass {
		return last.Failures
	}
	return pass.Failures
}
