package sftpd

import "slices"

// notAsked makes an id that nobody asked for out of one that somebody did.
const notAsked = 1 << 31

// inject carries out a request with a fault, if the fault can be done there.
func (s *session) inject(req request, due *active) error {
	f := due.Fault
	switch f.Kind {
	case Fail, Hang:
		if f.Done {
			s.forget(s.do(req))
		}
		s.server.faults.count(due, true)
		if f.Kind == Hang {
			return nil
		}
		return s.send(status(req.id, f.Status, f.Text))
	case SameHandle:
		s.same = s.handles.any()
		could := s.same != ""
		p := s.do(req)
		s.server.faults.count(due, could && s.same == "")
		s.same = ""
		return s.send(p)
	case DropWrite:
		h, err := s.handles.get(req.first)
		s.server.faults.count(due, err == nil)
		if err != nil {
			return s.send(result(req.id, err))
		}
		h.dropped = f.Status
		if f.Status == StatusOK {
			h.dropped = StatusFailure
		}
		return s.send(result(req.id, nil))
	case ShortRead, LongRead, EmptyRead:
		p, done := s.misread(req, f.Kind)
		s.server.faults.count(due, done)
		return s.send(p)
	}
	p := s.do(req)
	s.server.faults.count(due, true)
	return s.mangle(req, f.Kind, p)
}

// misread answers READ with another number of bytes, if there are some.
func (s *session) misread(req request, kind Kind) (p packet, done bool) {
	wanted := req.more
	wanted.uint64() // the offset
	asked := int(wanted.uint32())
	p = s.do(req)
	if p.kind() != typeData {
		return p, false
	}
	data := string(p[9:])
	switch {
	case kind == EmptyRead:
		data = ""
	case kind == ShortRead && len(data) > 1:
		data = data[:1+s.server.faults.below(len(data)-1)]
	case kind == LongRead && len(data) == asked:
		data += string(make([]byte, 1+s.server.faults.below(100)))
	default:
		return p, false
	}
	return answer(typeData, req.id).string(data), true
}

// mangle answers a request that was carried out, p being the right answer.
func (s *session) mangle(req request, kind Kind, p packet) error {
	switch kind {
	case WrongID:
		s.forget(p)
		return s.send(append(answer(p.kind(), req.id^notAsked), p[5:]...))
	case WrongType:
		s.forget(p)
		return s.send(wrongType(req.id, p))
	case Double:
		if err := s.send(p); err != nil {
			return err
		}
		return s.send(p)
	case OutOfOrder:
		s.held = append(s.held, p)
		return nil
	case Garbage:
		s.forget(p)
		noise := make(packet, 1+s.server.faults.below(64))
		for i := range noise {
			noise[i] = byte(s.server.faults.below(256))
		}
		return s.write(noise.framed())
	case HugeLength:
		s.forget(p)
		return s.write(slices.Concat([]byte{0xff, 0xff, 0xff, 0xff}, p))
	case CloseChannel, CloseConnection:
		half := p.framed()
		if err := s.write(half[:len(half)/2]); err != nil {
			return err
		}
		if kind == CloseConnection {
			s.conn.Close()
		}
		return errEnded
	}
	return s.send(p)
}

// wrongType is an answer of a type that does not fit where p does.
func wrongType(id uint32, p packet) packet {
	switch p.kind() {
	case typeData:
		return answer(typeName, id).uint32(0)
	case typeHandle:
		return status(id, StatusOK, "")
	case typeStatus:
		return answer(typeAttrs, id).attributes(attributes{})
	}
	return answer(typeHandle, id).string("0")
}

// forget closes the handle of an answer that the client does not get.
func (s *session) forget(p packet) {
	if p.kind() != typeHandle {
		return
	}
	name := string(p[9:])
	if h := s.handles.open[name]; h != nil {
		h.file.Close()
		delete(s.handles.open, name)
	}
}
