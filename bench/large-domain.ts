// A domain as large as they get: with disks until it is that long, written as virt-launcher writes them.
export function newLargeDomain(xml: string, bytes: number): string {
  const [before = '', after = ''] = xml.split('\t</devices>')
  const parts = [before]
  let length = xml.length
  for (let count = 0; length < bytes; count += 1) {
    const disk = renderDisk(count)
    parts.push(disk)
    length += disk.length
  }
  return `${parts.join('')}\t</devices>${after}`
}

function renderDisk(at: number): string {
  return `\t\t<disk device="disk" type="block">
\t\t\t<source dev="/dev/volume-${at}"></source>
\t\t\t<target bus="scsi" dev="sd${at}"></target>
\t\t\t<driver cache="none" error_policy="stop" io="native" name="qemu" type="raw" discard="unmap"></driver>
\t\t\t<alias name="ua-volume-${at}"></alias>
\t\t\t<address type="drive" bus="0" controller="0" target="0" unit="${at}"></address>
\t\t</disk>
`
}
