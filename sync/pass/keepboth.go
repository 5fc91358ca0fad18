package pass

import (
	"context"

	filesync "sftpconnector/sync"
)

// maxNumbered bounds the number that a file of a taken name gets.
const maxNumbered = 1 << 30

// keepBoth aims the candidates at names that are free at the destination.
func (dc *decider) keepBoth(ctx context.Context, cands []candidate) error {
	var fresh []*candidate
	var targets []string
	for i := range cands {
		if c := &cands[i]; !c.delivered() {
			fresh, targets = append(fresh, c), append(targets, c.Destination)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	stats, err := dc.dst.Stat(ctx, targets)
	if err != nil {
		return err
	}
	for i, c := range fresh {
		if stats[i].Err != nil {
			continue // free, or an error that is told of later
		}
		if err := dc.number(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// number aims a candidate whose name is taken at a free number of it, with few
// looks however many are taken: it doubles the number until one is free, and
// halves the way back to the last that was taken. The number before the one it
// finds is taken; those that readers have freed further down may stay unused.
func (dc *decider) number(ctx context.Context, c *candidate) error {
	name := c.Destination
	free := func(n int) (bool, error) {
		dc.nameIt(c, filesync.Numbered(name, n))
		stats, err := dc.dst.Stat(ctx, []string{c.Destination})
		return err == nil && stats[0].Err != nil, err
	}
	taken, found := 1, 2
	for found < maxNumbered {
		ok, err := free(found)
		if err != nil {
			return err
		}
		if ok {
			break
		}
		taken, found = found, 2*found
	}
	for found-taken > 1 {
		middle := taken + (found-taken)/2
		ok, err := free(middle)
		switch {
		case err != nil:
			return err
		case ok:
			found = middle
		default:
			taken = middle
		}
	}
	dc.nameIt(c, filesync.Numbered(name, found))
	return nil
}
