// What two looks at links can be compared by. The state of a link (RFC 2863), and with it NO-CARRIER, follows its carrier
// by up to a second (net/core/link_watch.c); LOWER_UP does at once.

/** Of `ip -br link show`. */
export function withoutOperstate(brief: string): string {
  return brief
    .replaceAll(/^(\S+ +)(?:UP|DOWN|UNKNOWN|LOWERLAYERDOWN|DORMANT) +/gm, '$1')
    .replaceAll('NO-CARRIER,', '')
}
