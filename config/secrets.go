package config

import "reflect"

// Secrets gives the secrets that a connector has, by their keys, such as sftp.password.
func (c *Connector) Secrets() map[string]Secret {
	found := map[string]Secret{}
	gatherSecrets(reflect.ValueOf(c).Elem(), "", found)
	return found
}

func gatherSecrets(v reflect.Value, path string, found map[string]Secret) {
	for _, f := range fieldsOf(v.Type()) {
		if f.twin {
			continue
		}
		key, field := f.key, v.Field(f.index)
		if path != "" {
			key = path + "." + key
		}
		switch value := field.Interface().(type) {
		case Secret:
			if value != "" {
				found[key] = value
			}
		case Answers:
			for prompt, answer := range value {
				found[key+"."+prompt] = answer
			}
		default:
			if field.Kind() == reflect.Struct && len(fieldsOf(field.Type())) > 0 {
				gatherSecrets(field, key, found)
			}
		}
	}
}
