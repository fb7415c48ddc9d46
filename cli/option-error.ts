// An option whose value is no good: the command line's fault, and its own exit code.
import { DecodeError } from '../core/errors.ts'

export class OptionError extends DecodeError {}
