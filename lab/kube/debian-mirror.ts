// Finds Debian's mirror in this machine's apt sources, so that a local mirror or a proxy serves images, too.
import { CommandError, NotSupportedError } from '../../core/errors.ts'
import { run } from '../../kernel/run.ts'

export interface DebianMirrors {
  readonly debian: string
  /** Undefined if the machine's sources name none. */
  readonly security: string | undefined
}

const FORMAT = '$(ORIGIN) $(LABEL) $(REPO_URI)'
const UPDATE_MS = 300_000

/** Asks apt. Throws NotSupportedError if it knows no Debian. */
export async function findMirrors(): Promise<DebianMirrors> {
  const known = await ask().catch((error: unknown) => {
    if (error instanceof CommandError) return undefined
    throw error
  })
  if (known !== undefined) return known
  // The lists that apt has fetched describe each repository.
  await run(['apt-get', '-qq', 'update'], { timeoutMs: UPDATE_MS })
  const mirrors = await ask()
  if (mirrors !== undefined) return mirrors
  throw new NotSupportedError('Cannot find a Debian mirror in the sources of apt')
}

async function ask(): Promise<DebianMirrors | undefined> {
  return parseMirrors(
    await run(['apt-get', 'indextargets', '--format', FORMAT, 'Created-By: Packages']),
  )
}

/** Lines of origin, label and address. */
export function parseMirrors(text: string): DebianMirrors | undefined {
  const rows = text.split('\n').map((line) => line.split(' '))
  const find = (label: string): string | undefined =>
    rows.find(([origin, kind]) => origin === 'Debian' && kind === label)?.[2]?.replace(/\/$/, '')
  const debian = find('Debian')
  return debian === undefined ? undefined : { debian, security: find('Debian-Security') }
}

/** Lines of a sources.list for a suite. */
export function renderSources(mirrors: DebianMirrors, suite: string): readonly string[] {
  const { debian, security } = mirrors
  const main = [suite, `${suite}-updates`].map((name) => `deb ${debian} ${name} main`)
  return security === undefined ? main : [...main, `deb ${security} ${suite}-security main`]
}
