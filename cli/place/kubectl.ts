// The real kubectl, as a child: it knows every way to a cluster and to log in, and who has this plugin
// has it. What it says when something is amiss becomes one clear sentence.
import { CommandError } from '../../core/errors.ts'
import { run } from '../../kernel/run.ts'
import { CliError } from '../cli-error.ts'

export interface Kubectl {
  /** What to execute, the options that choose the cluster included. */
  readonly argv: readonly string[]
  /** Standard output of a short command. Throws CliError. */
  readonly read: (...args: readonly string[]) => Promise<string>
  /** As read; standard input is given, as for "-f -". */
  readonly feed: (input: string, ...args: readonly string[]) => Promise<string>
}

const TIMEOUT_MS = 60_000
/** Without a limit of its own kubectl waits for minutes on a server that does not answer. */
const REQUEST_TIMEOUT = '--request-timeout=15s'

export function newKubectl(flags: readonly string[]): Kubectl {
  const argv = ['kubectl', ...flags]
  const hasLimit = flags.some((flag) => flag.startsWith('--request-timeout'))
  const limited = hasLimit ? argv : [...argv, REQUEST_TIMEOUT]
  const ask = async (args: readonly string[], input?: string): Promise<string> => {
    try {
      return await start([...limited, ...args], input)
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      throw await explain(error, async (...more) => start([...argv, ...more]))
    }
  }
  return {
    argv,
    read: async (...args) => ask(args),
    feed: async (input, ...args) => ask(args, input),
  }
}

async function start(argv: readonly string[], input = ''): Promise<string> {
  return run(argv, { timeoutMs: TIMEOUT_MS, env: process.env, input })
}

/** Whether the API server said no by one of these words, "Conflict", and not for another reason. */
export function isRefusal(error: unknown, ...reasons: readonly string[]): boolean {
  return (
    error instanceof CliError &&
    error.cause instanceof CommandError &&
    reasons.some((reason) => (error.cause as CommandError).stderr.includes(`(${reason})`))
  )
}

/** What kubectl says when nobody answers at the API server's address. */
const AWAY =
  /connection to the server .* was refused|Unable to connect to the server|dial tcp|no such host|i\/o timeout|TLS handshake timeout|context deadline exceeded|Client\.Timeout|connection reset|": EOF$/m
const NO_KIND = /could not find the requested resource/

async function explain(
  cause: CommandError,
  read: (...args: readonly string[]) => Promise<string>,
): Promise<CliError> {
  const { stderr } = cause
  if (cause.exitCode === undefined && stderr.includes('ENOENT'))
    return new CliError(
      'Cannot find kubectl on the PATH: a cluster is reached through it; for wires without a cluster give --store file:///DIR',
      { cause },
    )
  if (cause.signal === 'SIGKILL' || AWAY.test(stderr)) {
    const server = findServer(cause.argv) ?? (await readServer(read))
    if (server === undefined)
      return new CliError(
        'There is no cluster to ask: kubectl has no current context. Choose one with --kubeconfig or --context, or give --store file:///DIR for wires without a cluster',
        { cause },
      )
    return new CliError(`Cannot reach the API server ${server}: ${getReason(cause)}`, { cause })
  }
  if (NO_KIND.test(stderr))
    return new CliError(
      'This cluster does not know wires: l2wire is not installed in it (kubectl apply -k deploy/base)',
      { cause },
    )
  return new CliError(stripPrefix(stderr.trim().split('\n').at(-1) ?? cause.message), { cause })
}

/** Undefined where kubectl has no context: it would try localhost then. */
async function readServer(
  read: (...args: readonly string[]) => Promise<string>,
): Promise<string | undefined> {
  try {
    const template = 'jsonpath={.clusters[0].cluster.server}'
    const server = await read('config', 'view', '--minify', '-o', template)
    return server === '' ? undefined : server
  } catch (error) {
    if (error instanceof CommandError) return undefined
    throw error
  }
}

function findServer(argv: readonly string[]): string | undefined {
  return argv.find((word) => word.startsWith('--server='))?.slice('--server='.length)
}

function getReason({ stderr, signal }: CommandError): string {
  if (stderr.includes('refused')) return 'it refuses the connection'
  if (stderr.includes('no such host')) return 'its name cannot be resolved'
  if (signal !== undefined || /timeout|deadline|Timeout/.test(stderr))
    return 'it does not answer in time'
  return stripPrefix(stderr.trim().split('\n').at(-1) ?? '')
}

function stripPrefix(line: string): string {
  return line.replace(
    /^(error|Error from server \(\w+\)|Error from server|Unable to connect to the server): /,
    '',
  )
}
