/** A query parameter of an operation, as its row in an endpoint table names it. */
export interface QueryParameter {
  readonly name: string;
  readonly description: string;
  /** Text unless it says otherwise; `texts` may come several times; a list has the values that it takes. */
  readonly takes?: 'texts' | 'count' | 'boolean' | 'digest' | 'name' | readonly string[];
  readonly required?: true;
  readonly default?: string | boolean;
}

type Query = readonly QueryParameter[];

export const pageQuery: Query = [
  { name: 'n', description: 'How many at most.', takes: 'count' },
  { name: 'last', description: 'The last item of the page before.' },
];

export const imagePageQuery: Query = [
  ...pageQuery,
  { name: 'cursor', description: 'Where a page that ended early goes on: as in the `Link` of that page.' },
];

/** On every operation that pulls. */
export const namespaceQuery: QueryParameter = {
  name: 'ns',
  description: 'The registry that a mirror is asked for: `docker.io`.',
};

export const tokenQuery: Query = [
  {
    name: 'scope',
    description: '`repository:<name>:pull,push`; several, or several in one with spaces between.',
    takes: 'texts',
  },
  { name: 'service', description: 'What the challenge named.' },
  { name: 'offline_token', description: '`true`: with a refresh token.' },
];

export const uploadStartQuery: Query = [
  { name: 'digest', description: 'The body is the whole blob, and this its digest.', takes: 'digest' },
  { name: 'mount', description: 'A blob that another image has.', takes: 'digest' },
  { name: 'from', description: 'The name of that image.', takes: 'name' },
  { name: 'digest-algorithm', description: 'What the blob will be verified with.', takes: ['sha256', 'sha512'] },
];

export const uploadCompleteQuery: Query = [
  { name: 'digest', description: 'Of the whole blob.', takes: 'digest', required: true },
];

export const manifestPutQuery: Query = [
  { name: 'tag', description: 'For a push by digest: a tag that it gets; may come several times.', takes: 'texts' },
];

export const referrerQuery: Query = [
  { name: 'artifactType', description: 'Those of this type alone; may come several times.', takes: 'texts' },
  ...pageQuery,
];

export const importQuery: Query = [
  { name: 'image', description: 'Where all of it goes; else where the archive says.', takes: 'name' },
  {
    name: 'tag',
    description: 'Under these tags; else those of the archive. As often as there are tags.',
    takes: 'texts',
  },
];

export const exportQuery: Query = [
  {
    name: 'name',
    description: '`team/app:1.2` or `team/app@sha256:…`. As often as there are images.',
    takes: 'texts',
  },
  { name: 'image', description: 'An image, with `reference`.', takes: 'name' },
  { name: 'reference', description: 'Tags or digests of it.', takes: 'texts' },
  { name: 'platform', description: '`linux/amd64`: of several platforms this one.' },
  { name: 'as', description: 'What the image is called in the archive.' },
];

export const purgeQuery: Query = [
  { name: 'image', description: 'This image alone.', takes: 'name' },
  { name: 'tag', description: 'This tag of it alone.' },
];

export const explainQuery: Query = [
  { name: 'name', description: 'As a client has it: repository and image.', takes: 'name', required: true },
  { name: 'reference', description: 'A tag or a digest.', default: 'latest' },
  { name: 'ns', description: 'As if it had come with this namespace.' },
  { name: 'host', description: 'As if it had come to this host.' },
];

export const collectQuery: Query = [
  { name: 'dry_run', description: '`true` counts and deletes nothing.', takes: 'boolean', default: false },
];
