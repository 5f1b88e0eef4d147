/** The part of a JSON Schema that a form needs. */
export interface Schema {
  readonly type?: string;
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly default?: unknown;
  readonly description?: string;
  readonly readOnly?: boolean;
  readonly properties?: Readonly<Record<string, Schema>>;
}

type Kind = 'text' | 'area' | 'number' | 'flag' | 'choice' | 'words' | 'rules' | 'members' | 'targets';

/** A setting of a repository as a field of a form. Its value is a text. */
export interface Field {
  readonly name: string;
  readonly title: string;
  readonly kind: Kind;
  readonly help: string;
  /** Of a choice: values with their texts. */
  readonly choices: readonly (readonly [value: string, text: string])[];
  /** Whether the form shows it outside "More settings". */
  readonly isMain: boolean;
  /** The value of a new repository. */
  readonly initial: string;
}

/** A problem that the registry found in a document. */
interface FieldProblem {
  readonly path: string;
  readonly problem: string;
}

type Values = Readonly<Record<string, string>>;

/** These are not settings, or have fields of their own. */
const others = new Set(['package_type', 'repo_type', 'name', 'credentials']);
/** The fields that the form shows outside "More settings", in this order. */
const main =
  'description upstream url cache tag_ttl_seconds max_cache_bytes pins members order push_to max_bytes immutable_tags mutable_tags trash_seconds'.split(
    ' ',
  );
const kinds: Readonly<Record<string, Kind>> = {
  ca: 'area',
  tag_ttl_rules: 'rules',
  members: 'members',
  allow_private_targets: 'targets',
};
const hints: Partial<Record<Kind, string>> = {
  words: 'Separated by spaces.',
  targets: 'Separated by spaces.',
  rules: 'One per line: a pattern and seconds, such as *-snapshot 10.',
  members:
    'One per line: a name, and patterns of images to include, or to exclude after a "!", such as hub library/** !library/old.',
};

/** Returns the settings of a type of repository as fields, by its schema in the OpenAPI document. */
export function fieldsOf(schema: Schema): readonly Field[] {
  const settings = Object.entries(schema.properties ?? {}).filter(
    ([name, { readOnly }]) => readOnly !== true && !others.has(name),
  );
  const fields = settings.map(([name, setting]) => fieldOf(name, setting));
  return fields.toSorted((one, other) => main.indexOf(one.name) - main.indexOf(other.name));
}

function fieldOf(name: string, setting: Schema): Field {
  const kind = kinds[name] ?? kindOf(setting);
  const initial = textOf(kind, setting.default);
  const usual = initial === '' || kind === 'choice' || kind === 'flag' ? undefined : `Default: ${initial}.`;
  const units = name.endsWith('_bytes')
    ? 'Bytes, or a size such as 10 GiB.'
    : name.endsWith('_seconds')
      ? 'Seconds, or a duration such as 5m, 2h or 7d.'
      : undefined;
  const parts = [setting.description?.replaceAll('`', ''), hints[kind], units, usual];
  return {
    name,
    title: titleOf(name),
    kind,
    help: parts.filter((part) => part !== undefined).join(' '),
    choices: kind === 'choice' ? choicesOf(name, setting) : [],
    isMain: main.includes(name),
    initial,
  };
}

/** Returns the title of a setting: `Tag TTL seconds`. */
export function titleOf(name: string): string {
  const words = name.replaceAll('_', ' ').replace(/\b(?:ttl|url|ca)\b/g, (word) => word.toUpperCase());
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function kindOf({ type, enum: values, anyOf, default: usual }: Schema): Kind {
  if (values !== undefined || anyOf !== undefined) return 'choice';
  if (type === 'boolean') return usual === undefined ? 'choice' : 'flag';
  if (type === 'array') return 'words';
  return type === 'number' || type === 'integer' ? 'number' : 'text';
}

function choicesOf(name: string, setting: Schema): Field['choices'] {
  const { enum: values, anyOf = [setting], default: usual } = setting;
  const own = values ?? anyOf.flatMap(valuesOf);
  const none = name === 'upstream' ? 'another registry, by its URL' : 'automatic';
  return [...(usual === undefined ? [['', none] as const] : []), ...own.map((value) => [value, value] as const)];
}

function valuesOf(schema: Schema): readonly string[] {
  if (schema.type === 'boolean') return ['true', 'false'];
  return schema.const === undefined ? [] : [schema.const];
}

/** Returns the values of a form: those of a repository, or of a new one. */
export function valuesFor(fields: readonly Field[], repository: Readonly<Record<string, unknown>> = {}): Values {
  return Object.fromEntries(
    fields.map(({ name, kind, initial }) => [name, name in repository ? textOf(kind, repository[name]) : initial]),
  );
}

function textOf(kind: Kind, value: unknown): string {
  if (value === undefined || value === null) return '';
  if (kind === 'targets' && value === false) return '';
  if (!Array.isArray(value)) return typeof value === 'string' ? value : JSON.stringify(value);
  const items: readonly unknown[] = value;
  if (kind === 'rules') return items.map((rule) => Object.values(rule as object).join(' ')).join('\n');
  if (kind === 'members') return items.map(textOfMember).join('\n');
  return items.join(' ');
}

function textOfMember(member: unknown): string {
  if (typeof member === 'string') return member;
  const { name, include = [], exclude = [] } = member as Member;
  return [name, ...include, ...exclude.map((pattern) => `!${pattern}`)].join(' ');
}

interface Member {
  readonly name: string;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
}

/**
 * Returns the settings in a form as the API accepts them. Omits empty fields, so that they get their defaults. Sends values
 * that it cannot parse as they are: the registry reports what is wrong with them.
 */
export function settingsOf(fields: readonly Field[], values: Values): Record<string, unknown> {
  const given = fields.flatMap(({ name, kind }) => {
    const text = values[name]?.trim() ?? '';
    // A document with both is refused when they differ.
    if (text === '' || (name === 'url' && (values['upstream'] ?? '') !== '')) return [];
    return [[name, valueOf(kind, text)] as const];
  });
  return Object.fromEntries(given);
}

function valueOf(kind: Kind, text: string): unknown {
  if (kind === 'number') return numberOf(text);
  if (kind === 'words') return wordsOf(text);
  if (kind === 'rules') return linesOf(text).map(ruleOf);
  if (kind === 'members') return linesOf(text).map(memberOf);
  const isFlag = kind === 'flag' || kind === 'choice' || kind === 'targets';
  if (isFlag && (text === 'true' || text === 'false')) return text === 'true';
  return kind === 'targets' ? wordsOf(text) : text;
}

function wordsOf(text: string): readonly string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '');
}

function linesOf(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .map(wordsOf)
    .filter((words) => words.length > 0);
}

function ruleOf(words: readonly string[]): object {
  return { tags: words[0], ttl_seconds: numberOf(words.slice(1).join(' ')) };
}

function memberOf([name = '', ...patterns]: readonly string[]): string | Member {
  if (patterns.length === 0) return name;
  return {
    name,
    include: patterns.filter((pattern) => !pattern.startsWith('!')),
    exclude: patterns.filter((pattern) => pattern.startsWith('!')).map((pattern) => pattern.slice(1)),
  };
}

const units: Readonly<Record<string, number>> = {
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** Returns a number with or without a unit; another text as it is. */
function numberOf(text: string): number | string {
  const [, digits = '', unit = ''] = /^([0-9.]+)\s*([a-z]*)$/i.exec(text) ?? [];
  const factor = unit === '' ? 1 : units[unit.toLowerCase()];
  const value = factor === undefined || digits === '' ? Number.NaN : Number(digits) * factor;
  return Number.isNaN(value) ? text : value;
}

/** Returns the problems by the first name in their paths: `members` has those of `members[0].name`. */
export function problemsByField(detail: unknown): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  if (!Array.isArray(detail)) return found;
  for (const { path, problem } of detail as readonly FieldProblem[]) {
    const [, name = '', rest = ''] = /^([a-z_]*)(.*)$/.exec(path) ?? [];
    const text = rest === '' ? problem : `${rest.replace(/^\./, '')} ${problem}`;
    found[name] = found[name] === undefined ? text : `${found[name]}; ${text}`;
  }
  return found;
}
