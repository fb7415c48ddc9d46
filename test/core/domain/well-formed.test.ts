// What is no XML is refused, whatever the parser would make of it; what is XML has its elements where they are.
import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { parseTree } from '../../../core/domain/tree.ts'
import type { XmlElement } from '../../../core/domain/tree.ts'
import { DecodeError } from '../../../core/errors.ts'

/** Documents on lines, or with two blanks or more between them. */
const split = (documents: string): string[] => documents.trim().split(/\s{2,}/)

const STRANGE = '\0 \u0001 \u0008 \u000b \u000c \u000e \u001f \ufffe \uffff \ud83d \ude00'.split(
  ' ',
)
const REFERENCES =
  '&nbsp; &LT; &__proto__; &constructor; &toString; &longerthantwentycharacters12345; &\u00e9; &a.b; ' +
  '& &x &; &# &#; &#x &#x; &#xZ; &#1a; &#X41; &amp ' +
  '&#0; &#x0; &#1; &#xB; &#xD800; &#xDFFF; &#xFFFE; &#xFFFF; &#x110000; &#99999999999;'

/** By what is wrong with them. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  'no root': ['', ' ', '\n', ...split('x  &amp;  <!-- x -->  <?pi?>  <!DOCTYPE a>  <![CDATA[x]]>')],
  'more than one root': split('<a/><b/>  <a></a><b></b>  <a></a><b/>  <a/><b></b>  <a/></a>'),
  'text beside the root': [
    ...split('<a/>x  <a></a>x  x<a/>  <a/>&amp;  <a></a>&amp;  &amp;<a/>  <a/>]]>'),
    '<a/>\u00a0',
    '\u00a0<a/>',
    ' \ufeff<a/>',
    '\ufeff\ufeff<a/>',
    '<a/>\ufeff',
  ],
  'characters that XML does not have': [
    '<a>\ude00\ud83d</a>',
    ...split('<a>%</a>  <a b="%"/>  <!--%--><a/>  <a><![CDATA[%]]></a>  <a%b="1"/>'),
    ...split('<?pi %?><a/>  %<a/>  <a/>%  <%/>'),
  ].flatMap((xml) => STRANGE.map((char) => xml.replace('%', char))),
  'references to nothing': REFERENCES.split(' ').flatMap((reference) => [
    `<a>${reference}</a>`,
    `<a b="${reference}"/>`,
    `<a>x ${reference} y</a>`,
    `<!-- <!DOCTYPE a> --><a>${reference}</a>`,
  ]),
  attributes: split(`
    <a b=1/>  <a b/>  <a b=/>  <a b="1  <a b='1"/>  <a b="1'/>  <a b="1"c="2"/>  <a 1="1"/>  <a -b="1"/>
    <a b="1" b="2"/>  <a><b c="1" d="" c="2"></b></a>  <a hasOwnProperty="1" hasOwnProperty="2"/>
    <a __proto__="1" __proto__="2"/>  <a xmlns="" xmlns=""/>  <a b="<"/>  <a b='<c/>'/>
    <a b="<!-- x -->"/>  <a b="<!DOCTYPE"/>  <a b="<![CDATA[x]]>"/>  <a =""/>  <a = "1"/>  <a b==""/>
    <a "b"/>  <a b="1" ="2"/>  <a b="1" = c="2"/>  <a b="x"y/>  <a b="1" / c="2"/>  <a/b="1"/>  <a/b/>
    <a /b="1"></a>  <a b="1"/ ></a>  <a <!-- x --> b="1"/>  <a <?pi?> b="1"/>  <a><b <![CDATA[x]]>/></a>`),
  'attributes behind other blanks': ['<a\u00a0b="1"/>', '<a\u2028b="1"/>', '<a b\u00a0="1"/>'],
  tags: split(`
    <a  <a>  </a>  <a></b>  <a><b></a></b>  <a><b></a>  <a></a  <a></ a>  < a/>  <a / >  <a/ >  <a //>
    <a></a b="1">  <a b="1">  <a b="1"/></a>  <a><b/></b></a>  <a><</a>  <a>b<c</a>  <a><<b/></a>
    <>  <a></></a>  <1/>  <-a/>  <.a/>  <#text/>  <a><\u00d7/></a>  <a></a"x">`),
  comments: split(`
    <!--  <!-- x  <a/><!--  <a><!-- </a>  <a><!--></a>  <a><!---></a>  <a><!-- x -- y --></a>
    <a><!-- x ---></a>  <a><!-></a>  <a><!- - x --></a>`),
  sections: split(`
    <a><![CDATA[x</a>  <a>x<![CDATA[  <a><![cdata[x]]></a>  <a><![INCLUDE[x]]></a>  <a><! [CDATA[]]></a>
    <a>]]></a>  <a><b/>]]></a>  <a><![CDATA[]]>]]></a>  <a/><![CDATA[x]]>  <![CDATA[x]]><a/>`),
  DTDs: split(`
    <a><!FOO></a>  <a><!></a>  <!><a/>  <!FOO><a/>  <a/><!FOO>  <!ELEMENT a ANY><a/>  <!doctype a><a/>
    <!DOCTYPE a  <!DOCTYPE a [  <!DOCTYPE><a/>  <!DOCTYPE a [<!ENTITY e "]><a/>">]><a/>
    <!DOCTYPE a [<!-- ]> -->]><a/>  <a><!DOCTYPE a></a>  <a><!DOCTYPE b [<!ENTITY x "y">]>&x;</a>
    <a/><!DOCTYPE a>  <!DOCTYPE a><!DOCTYPE a><a/>`),
  declarations: split(`
    <a><?xml version="1.0"?></a>  <a/><?xml version="1.0"?>  <?xml version="1.0"?><?xml version="1.0"?><a/>
    <?xml?><a/>  <?xml encoding="utf-8"?><a/>  <?xml version="2.0"?><a/>  <?xml version=1.0?><a/>
    <?xml version="1.0" standalone="maybe"?><a/>  <?xml version="1.0" foo="x"?><a/>
    <?xml version="1.0" encoding="?"?><a/>  <?xml version="1.0"><a/>  <?XML version="1.0"?><a/>
    <a><?xMl?></a>  <!----><?xml version="1.0"?><a/>`),
  instructions: split(
    '<?  <?pi  <a/><?pi  <a><?pi</a>  <? pi?><a/>  <??><a/>  <a><?1?></a>  <a><? ?></a>',
  ),
  // None of these is what virt-launcher writes.
  'what is well-formed and the parser does not read': [
    ...split(
      '<__proto__/>  <constructor/>  <a><prototype/></a>  <a constructor=""/>  <\u{10400}/>',
    ),
    '<!DOCTYPE a SYSTEM "x"><a/>',
    `<a b="${'x'.repeat(200_000)}"/>`,
    `<a${' '.repeat(200_000)}/>`,
  ],
}

describe('parseTree() refuses', () => {
  for (const [what, documents] of Object.entries(REFUSED))
    it(what, () => {
      for (const xml of documents)
        expect(() => parseTree(xml), xml).to.throw(DecodeError, 'domain XML')
    })

  const told = [
    { xml: '<a>\n <b>\0</b></a>', says: 'Invalid character (line 2, column 5)' },
    { xml: '<a/>\n<b/>', says: 'A start tag has no place here (line 2, column 1)' },
    { xml: '<a b="&nbsp;"/>', says: 'Reference to nothing (line 1, column 7)' },
    { xml: '<a>\n\t<b c=1/></a>', says: 'Malformed start tag (line 2, column 2)' },
    { xml: '<a><!-- x</a>', says: 'Malformed comment (line 1, column 4)' },
    { xml: '<!-- \n --><a>\n<b>\n</a>', says: "closing tag 'b' (opened in line 3, col 1)" },
  ]
  for (const { xml, says } of told)
    it(`${JSON.stringify(xml)} and says where`, () => {
      expect(() => parseTree(xml)).to.throw(DecodeError, says)
    })

  it('in no time what would take the parser hours, or all memory', () => {
    for (const piece of ['<!--', '<![CDATA[', '<?a ', '<b c="', '<!DOCTYPE a [', '</', '&#38;'])
      expect(() => parseTree(`<a>${piece.padEnd(1_000, 'x').repeat(9_000)}`), piece).to.throw(
        DecodeError,
      )
    for (const text of ['x', ' ', '\n', '>'])
      expect(parseTree(`<a>${text.repeat(4_000_000)}</a>`).children).to.eql([])
  })

  it('an entity that stands for entities without an end, by never looking', () => {
    const dtd = '<!ENTITY a "&b;&b;"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">'
    const xml = `<!DOCTYPE x [${dtd}]><x y="&a;">&b;&c;</x>`
    expect(parseTree(xml).attributes[0]?.value).to.equal('&a;')
  })
})

// Documents that are written together with the places of their elements.
interface Node {
  readonly name: string
  readonly attributes: readonly Attribute[]
  readonly space: string
  /** Undefined for an empty-element tag. */
  readonly content: readonly (string | Node)[] | undefined
}
interface Attribute {
  readonly name: string
  readonly spaces: readonly [string, string, string]
  readonly value: readonly [text: string, means: string]
}

const NAMES = ['a', 'ab', 'a.b:c-d', 'toString', 'hasOwnProperty', 'é', 'interface']
const BLANKS = ['', ' ', '\n', '\r\n', '\t ', '\r']
const VALUES: readonly (readonly [string, string])[] = [
  ['""', ''],
  [`'"1>2/'`, '"1>2/'],
  [`"'&lt;&#34;&#x1f50c;\u{1f50c}&amp;amp;"`, `'<"\u{1f50c}\u{1f50c}&amp;`],
  ['"\t1\r\n2\r3\n&#10;"', ' 1 2 3 \n'],
  ['"]]> -- ?>"', ']]> -- ?>'],
]
const ASIDES = [
  ...split(
    `x  &#x10FFFF;  > &amp; "'  \u00e4\u20ac\u{1f50c}  ]] >  <!---->  <!-- <a> & " - -> \u{1f50c} -->`,
  ),
  ...split(`<?pi "?>  <?pi <a b='?>  <![CDATA[]]>  <![CDATA[</a> & ]] > <!-- ]]>`),
  '',
  '\n\t',
  '\r\n',
  '\ufeff',
  `<!--${'\n'.repeat(1_100)}-->`,
  '\u{1f50c}'.repeat(1_100),
]
const attributes = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom(...NAMES),
    spaces: fc.tuple(
      fc.constantFrom(...BLANKS.slice(1)),
      fc.constantFrom(...BLANKS),
      fc.constantFrom(...BLANKS),
    ),
    value: fc.constantFrom(...VALUES),
  }),
  { maxLength: 3, selector: ({ name }) => name },
)
const aside = fc.constantFrom(...ASIDES)
const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.record({
    name: fc.constantFrom(...NAMES),
    attributes,
    space: fc.constantFrom(...BLANKS),
    content: fc.option(fc.array(fc.oneof({ maxDepth: 4 }, aside, tie('node')), { maxLength: 6 }), {
      nil: undefined,
    }),
  }),
}))
const PROLOGS = [
  '',
  '\ufeff',
  '<?xml version="1.0"?>\r\n',
  '<!DOCTYPE a [<!ENTITY e "<a>">]>',
  '<!-- <a/> -->',
]

/** The text so far with the node behind it, and what parseTree() is to find there. */
function write(
  before: string,
  { name, attributes: given, space, content }: Node,
): [string, object] {
  let xml = `${before}<${name}`
  const found = given.map(({ name: key, spaces: [first, second, third], value: [text, value] }) => {
    const start = xml.length + first.length
    xml += `${first}${key}${second}=${third}${text}`
    const [end, valueEnd] = [xml.length, xml.length - 1]
    return { name: key, value, start, end, valueStart: end - text.length + 1, valueEnd }
  })
  xml += content === undefined ? `${space}/>` : `${space}>`
  const openEnd = xml.length
  const children: object[] = []
  for (const part of content ?? []) {
    if (typeof part === 'string') xml += part
    else {
      const [longer, child] = write(xml, part)
      xml = longer
      children.push(child)
    }
  }
  const contentEnd = xml.length
  if (content !== undefined) xml += `</${name}${space}>`
  const places = { start: before.length, end: xml.length, openEnd, contentEnd }
  return [
    xml,
    { name, ...places, isSelfClosing: content === undefined, attributes: found, children },
  ]
}

function show(element: XmlElement): object {
  const { name, start, end, openEnd, contentEnd, isSelfClosing, attributes: found } = element
  const places = { start, end, openEnd, contentEnd }
  return { name, ...places, isSelfClosing, attributes: found, children: element.children.map(show) }
}

describe('parseTree() finds', () => {
  it('every element and attribute where it was written', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...PROLOGS),
        node,
        fc.constantFrom('', '\n', '<!-- <a/> -->'),
        (prolog, root, epilog) => {
          const [xml, want] = write(prolog, root)
          expect(show(parseTree(xml + epilog))).to.eql(want)
        },
      ),
      { numRuns: 1_000 },
    )
  })
})
