// kubectl-l2wire: what people type. Each command is a file; this one turns errors into exit codes.
import { Command, CommanderError } from 'commander'

import { renderCauses } from '../core/errors.ts'
import { VERSION } from '../core/version.ts'
import { addCaptureCommand } from './tester/capture.ts'
import { CliError } from './cli-error.ts'
import { answerShell, NODE_GROUP } from './completion.ts'
import { addDescribeCommand } from './describe.ts'
import { addDoctorCommand } from './doctor/doctor.ts'
import { addGetCommand } from './get.ts'
import { addInspectCommand } from './inspect.ts'
import { addListenCommand, SpokenError } from './tester/listen.ts'
import { OptionError } from './option-error.ts'
import { complain } from './output.ts'
import { addPlugCommands } from './plug.ts'
import { addProberCommand } from './doctor/prober.ts'
import { addStationCommand } from './tester/station.ts'
import { addSurveyCommand } from './doctor/survey.ts'
import { addTestCommand } from './tester/test.ts'

/** 0: done, 1: it did not work, 2: the command line is wrong, 3: the cable is not transparent. */
const EXIT_FAILED = 1
const EXIT_USAGE = 2

function newProgram(): Command {
  const program = new Command('kubectl-l2wire')
    .usage('<command> [options]')
    .description('Network cables for Kubernetes: see them, test them, listen to them')
    .version(VERSION, '--version')
    .exitOverride()
  program.commandsGroup('Commands:')
  addGetCommand(program)
  addDescribeCommand(program)
  addPlugCommands(program)
  addTestCommand(program)
  addCaptureCommand(program)
  addDoctorCommand(program)
  program.commandsGroup(NODE_GROUP)
  addInspectCommand(program)
  addListenCommand(program)
  addStationCommand(program)
  addSurveyCommand(program)
  addProberCommand(program)
  program.helpCommand(false)
  return program
}

try {
  const [, , command, ...words] = process.argv
  // Words of a line that is being typed are no command line.
  if (command === '__complete') process.stdout.write(await answerShell(newProgram(), words))
  else await newProgram().parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE
  else if (error instanceof SpokenError) process.exitCode = EXIT_FAILED
  else {
    const text = error instanceof CliError ? error.message : renderCauses(error)
    complain(text)
    // A command may have chosen its own.
    process.exitCode = error instanceof OptionError ? EXIT_USAGE : (process.exitCode ?? EXIT_FAILED)
  }
}
