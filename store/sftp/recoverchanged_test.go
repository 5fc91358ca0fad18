package sftp

import (
	"os"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// A part that was written under its own name is not forgotten, nor taken for a whole
// file, while files are written under hidden names: it is removed once they are not.
func TestPartOutlastsAnotherUploadName(t *testing.T) {
	data := noise(1000)
	for name, stands := range map[string][]byte{"half of it": data[:400], "as long, of another time": noise(1001)[1:]} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{}, nil)
			r := newUploader(t)
			r.src.Put("x.csv", string(data), old)
			e := uploadEntry("x.csv", data)
			ids, err := r.memory.IntendInPlace(t.Context(), []filesync.Delivery{{Source: e, Target: e, Pass: "1", At: time.Now(), PendingID: filesync.InPlaceID, InPlace: new(true)}})
			u.must(err)
			u.must(r.memory.MarkOpened(t.Context(), ids))
			u.must(os.WriteFile(u.at("x.csv"), stands, 0o644))
			if result := r.pass(u, nil); result.Files.Conflict != 1 {
				t.Errorf("under a hidden name: %s %+v", result.Outcome, result.Files)
			}
			u.want("x.csv", stands)
			again := uploadTo(t, s.Endpoint, direct)
			if result := r.pass(again, nil); result.Files.Copied != 1 {
				t.Errorf("under its own name: %s %+v %v", result.Outcome, result.Files, result.Failures)
			}
			again.want("x.csv", data)
			r.wantNoIntents()
		})
	}
}

// A file that was about to get its name from a hidden one is not looked for under its own
// name: what stands there is not ours to remove.
func TestHiddenFileIsNotLookedForUnderItsName(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{}, nil)
	r := newUploader(t)
	data := noise(50_000)
	r.src.Put("x.csv", string(data), old)
	p, e, err := u.write("x.csv", data)
	u.must(err)
	_, err = r.memory.Intend(t.Context(), []filesync.Delivery{{Source: e, Target: e, Pass: "1", At: time.Now(), PendingID: p.ID(), InPlace: new(false)}})
	u.must(err)
	u.must(u.Close())
	theirs := []byte("somebody else's")
	u.must(os.WriteFile(u.at("x.csv"), theirs, 0o644))
	for range 2 { // what is left goes with the second
		if result := r.pass(uploadTo(t, s.Endpoint, direct), nil); result.Files.Conflict != 1 {
			t.Errorf("%s %+v %v", result.Outcome, result.Files, result.Failures)
		}
	}
	u.want("x.csv", theirs)
	u.wantFiles("x.csv")
	r.wantNoIntents()
}

// A hidden copy that was interrupted does not go on under the file's own name, where
// somebody else's file stands whose size would fit.
func TestHiddenCopyDoesNotGoOnUnderItsName(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{}, nil)
	r := newUploader(t)
	data, theirs := noise(60_000), noise(30_001)[1:]
	r.src.Put("x.csv", string(data), old)
	p, e, err := u.write("x.csv", data)
	u.must(err)
	u.must(p.Keep())
	u.must(r.memory.SaveCheckpoint(t.Context(), filesync.Interrupted{Source: e, Checkpoint: filesync.Checkpoint{ID: p.ID(), Prefix: 20_000}, InPlace: new(false)}))
	u.must(u.Close())
	u.must(os.WriteFile(u.at("x.csv"), theirs, 0o644))
	for range 2 { // what is left goes with the second
		if result := r.pass(uploadTo(t, s.Endpoint, direct), nil); result.Files.Conflict != 1 {
			t.Errorf("%s %+v %v", result.Outcome, result.Files, result.Failures)
		}
	}
	u.want("x.csv", theirs)
	u.wantFiles("x.csv")
	if kept, err := r.memory.Checkpoints(t.Context()); err != nil || len(kept) > 0 {
		t.Errorf("kept: %v, %v", kept, err)
	}
}

// wantNoIntents checks that the journal has none.
func (r *uploader) wantNoIntents() {
	r.Helper()
	if intents, err := r.memory.Intents(r.Context()); err != nil || len(intents) > 0 {
		r.Errorf("intents left: %v %v", intents, err)
	}
}
