// The text for a person who starts a CNI plugin by hand, in the form of the reference plugins.
import { basename } from 'node:path'

import { CNI_VERSIONS } from '../core/cni/version.ts'
import manifest from '../package.json' with { type: 'json' }

/** Two lines for standard error. */
export function renderAbout(executable: string): string {
  return `CNI ${basename(executable)} plugin v${manifest.version}
CNI protocol versions supported: ${CNI_VERSIONS.join(', ')}
`
}
