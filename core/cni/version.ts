// CNI spec versions we speak, and what a verb needs (CNI SPEC.md 1.1.0, "Section 2").

export const CNI_VERSIONS = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
export type CniVersion = (typeof CNI_VERSIONS)[number]
export const NEWEST_CNI_VERSION: CniVersion = '1.1.0'

export const CNI_COMMANDS = ['ADD', 'DEL', 'CHECK', 'STATUS', 'GC', 'VERSION'] as const
export type CniCommand = (typeof CNI_COMMANDS)[number]

/** The spec version that brought a verb; older configurations may not use it. */
const SINCE: Readonly<Record<CniCommand, CniVersion>> = {
  ADD: '0.3.1',
  DEL: '0.3.1',
  VERSION: '0.3.1',
  CHECK: '0.4.0',
  STATUS: '1.1.0',
  GC: '1.1.0',
}

export function isCniVersion(value: unknown): value is CniVersion {
  return CNI_VERSIONS.includes(value as CniVersion)
}

export function isCniCommand(value: unknown): value is CniCommand {
  return CNI_COMMANDS.includes(value as CniCommand)
}

/** Whether a configuration of this version may be used with this verb. */
export function allowsCommand(version: CniVersion, command: CniCommand): boolean {
  return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(SINCE[command])
}

export function getCommandVersion(command: CniCommand): CniVersion {
  return SINCE[command]
}
