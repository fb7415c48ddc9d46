// A switch as kubectl has them: --wait=false.
import { Option } from 'commander'

/** On unless it is switched off; its value is 'true' or 'false'. */
export function newSwitchOption(name: string, description: string): Option {
  return new Option(`--${name} <true|false>`, description)
    .choices(['true', 'false'])
    .default('true')
}
