// kubectl-l2wire: what people type. Each command is a file; this one turns errors into exit codes.
import { Command, CommanderError } from 'commander'

import { renderCauses } from '../core/errors.ts'
import { addCaptureCommand, SpokenError } from './capture.ts'
import { OptionError } from './option-error.ts'
import { addTestCommand } from './test.ts'

/** 0: done, 1: it did not work, 2: the command line is wrong, 3: the cable is not transparent. */
const EXIT_FAILED = 1
const EXIT_USAGE = 2

const program = new Command('kubectl-l2wire')
  .description('Network cables for Kubernetes: test them, listen to them')
  .exitOverride()
addTestCommand(program)
addCaptureCommand(program)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE
  else if (error instanceof SpokenError) process.exitCode = EXIT_FAILED
  else {
    process.stderr.write(`kubectl-l2wire: ${renderCauses(error)}\n`)
    process.exitCode = error instanceof OptionError ? EXIT_USAGE : EXIT_FAILED
  }
}
