import type { VNode } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { ImageSummaryDocument, TagDocument } from '../../../../src/protocol/documents/images.js';
import { get, imagePath, urlOf } from '../../api.ts';
import { count, formatBytes, formatNumber } from '../../format.ts';
import { imageHref, type ImageName } from '../../image-links.ts';
import { hrefOf, setQuery } from '../../location.ts';
import { CheckField, FilterField } from '../../parts/field.tsx';
import { Icon } from '../../parts/icon.tsx';
import { Page } from '../../parts/page.tsx';
import { LongList } from '../../parts/long-list.tsx';
import { Answered, Empty, Loading } from '../../parts/problem.tsx';
import { PullCommand } from '../../parts/pull-command.tsx';
import { Table } from '../../parts/table.tsx';
import { session } from '../../session.ts';
import { useAnswer, type Answer } from '../../use-answer.ts';
import { useList, type FilteredList } from '../../use-list.ts';
import { DeleteTags, type Targets } from './delete-tags.tsx';
import { Retag } from './retag.tsx';
import { tagColumns, tagKey } from './tag-columns.tsx';

/** The tags of an image, or its untagged manifests. */
export function Tags({ name, query }: { readonly name: ImageName; readonly query: URLSearchParams }): VNode {
  const untagged = query.get('untagged') === 'true';
  const q = query.get('q') ?? '';
  const path = imagePath(name.repository, name.image);
  const list = useList({
    path: `${path}/tags`,
    pick: (page: { tags?: TagDocument[]; manifests?: TagDocument[] }) => page.tags ?? page.manifests ?? [],
    query: untagged ? { untagged } : {},
    q,
    namesOf: (item: TagDocument) => [tagKey(item)],
  });
  const { answer: tags } = list;
  const summary = useAnswer((signal) => get<ImageSummaryDocument>(`${path}/summary`, {}, signal), [path]);
  const reload = (): void => {
    tags.reload();
    summary.reload();
  };
  // Caches and virtual repositories have no trash.
  const isLocal = tags.value?.items.every((tag) => tag.checked_at === undefined && tag.member === undefined) !== false;
  const mayRestore = isLocal && session.value?.may.admin === true;
  return (
    <Page
      title={`${name.repository}/${name.image}`}
      heading={<Crumbs name={name} />}
      actions={mayRestore ? <TrashLink name={name} /> : undefined}
    >
      {tags.problem?.code === 'NAME_UNKNOWN' ? (
        <Empty>The image was not found. It may have been deleted.</Empty>
      ) : (
        <>
          <Summary summary={summary} />
          <PullCommand name={name} reference={newestTag(tags.value?.items) ?? 'latest'} />
          <Answered answer={tags} what="The tags could not be read">
            {({ items }) => (
              <TagList key={path + String(untagged)} {...{ name, q, untagged, items, list }} onChanged={reload} />
            )}
          </Answered>
        </>
      )}
    </Page>
  );
}

/** The name of an image, with links to the images of its repository and, from its manifests, to its tags. */
export function Crumbs({ name, isLinked = false }: { readonly name: ImageName; readonly isLinked?: boolean }): VNode {
  const { repository, image } = name;
  return (
    <span class="crumbs">
      <a href={hrefOf('/images', { repository })}>{repository}</a>
      <span class="faint"> / </span>
      {isLinked ? <a href={imageHref(name)}>{image}</a> : image}
    </span>
  );
}

function TrashLink({ name: { repository, image } }: { readonly name: ImageName }): VNode {
  return (
    <a class="button" href={hrefOf(`/repositories/${repository}/trash`, { q: image })}>
      <Icon name="undo" /> Trash
    </a>
  );
}

function newestTag(items: readonly TagDocument[] | undefined): string | undefined {
  const named = (items ?? []).filter(({ name }) => name !== undefined);
  if (named.some(({ name }) => name === 'latest')) return 'latest';
  return named.toSorted((one, other) => Date.parse(other.pushed_at) - Date.parse(one.pushed_at))[0]?.name;
}

function Summary({ summary }: { readonly summary: Answer<ImageSummaryDocument> }): VNode {
  return (
    <Answered answer={summary} what="The figures of the image could not be read">
      {(figures) => (
        <p class="summary">
          {count(figures.tags, 'tag')}, {count(figures.untagged, 'untagged manifest')},{' '}
          {formatBytes(figures.size_bytes)}
          {figures.unique_bytes < figures.size_bytes
            ? `, ${formatBytes(figures.unique_bytes)} of it in no other image`
            : ''}
          , {count(figures.recent_pulls, 'pull')} in 30 days
        </p>
      )}
    </Answered>
  );
}

interface ListProps {
  readonly name: ImageName;
  readonly q: string;
  readonly untagged: boolean;
  readonly items: readonly TagDocument[];
  readonly list: FilteredList<TagDocument>;
  readonly onChanged: () => void;
}

type Opened = { readonly delete: Targets } | { readonly retag: string };

function TagList({ name, q, untagged, items, list, onChanged }: ListProps): VNode {
  const [keys, setKeys] = useState<ReadonlySet<string>>(new Set());
  const [opened, setOpened] = useState<Opened | undefined>(undefined);
  const { shown, isLong, isSearching } = list;
  const chosen = shown
    .filter((item) => keys.has(tagKey(item)))
    .sort(byPush)
    .map(tagKey);
  const columns = useMemo(() => tagColumns(name, items), [name.repository, name.image, items]);
  const close = (): void => setOpened(undefined);
  const done = (gone: readonly string[]): void => {
    close();
    setKeys(new Set([...keys].filter((key) => !gone.includes(key))));
    onChanged();
  };
  return (
    <>
      <div class="tools">
        <FilterField
          label={untagged ? 'Filter digests' : 'Filter tags, such as 1.* or rc'}
          value={q}
          onInput={(text) => setQuery({ q: text })}
        />
        <CheckField
          label="untagged"
          checked={untagged}
          onChange={(isChecked) => setQuery({ untagged: isChecked ? 'true' : undefined, q: undefined })}
        />
        <Actions name={name} chosen={chosen} isUntagged={untagged} onOpen={setOpened} />
        <output class="count">
          {isLong && q === '' ? 'the first ' : ''}
          {chosen.length > 0 ? `${formatNumber(chosen.length)} of ` : ''}
          {count(shown.length, untagged ? 'manifest' : 'tag')}
          {isSearching ? ', searching…' : list.answer.value?.isComplete === false && !isLong ? ' so far' : ''}
        </output>
      </div>
      {isLong && q === '' ? <LongList what={untagged ? 'manifests' : 'tags'} /> : undefined}
      {shown.length === 0 && isSearching ? (
        <Loading />
      ) : shown.length === 0 ? (
        <Empty>{emptyText(items.length > 0, untagged)}</Empty>
      ) : (
        <Table
          caption={untagged ? 'Untagged manifests' : 'Tags'}
          rows={shown}
          columns={columns}
          keyOf={tagKey}
          order={{ key: untagged ? 'pushed' : 'name', isDescending: true }}
          selection={{ keys, onChange: setKeys, labelOf: (item) => `Select ${tagKey(item)}` }}
        />
      )}
      {opened === undefined ? undefined : 'delete' in opened ? (
        <DeleteTags
          name={name}
          targets={opened.delete}
          onClose={close}
          onDeleted={() => done([...opened.delete.tags, ...opened.delete.digests])}
        />
      ) : (
        <Retag
          name={name}
          reference={opened.retag}
          tags={digestsOf(items)}
          onClose={close}
          onMoved={() => done(chosen)}
        />
      )}
    </>
  );
}

/** The older one first, the usual order of a comparison. */
function byPush(one: TagDocument, other: TagDocument): number {
  return Date.parse(one.pushed_at) - Date.parse(other.pushed_at);
}

function emptyText(isFiltered: boolean, untagged: boolean): string {
  if (isFiltered) return 'Nothing matches the filter.';
  return untagged ? 'Every manifest has a tag, or is part of a manifest that has one.' : 'The image has no tags.';
}

function digestsOf(items: readonly TagDocument[]): ReadonlyMap<string, string> {
  return new Map(items.flatMap(({ name, digest }) => (name === undefined ? [] : [[name, digest] as const])));
}

/** The maximum number of tags or manifests that the registry deletes in one request. */
const maxDeleted = 1000;
/** The maximum number of images that the registry exports as one archive. */
const maxExported = 100;

function Actions({
  name,
  chosen,
  isUntagged,
  onOpen,
}: {
  readonly name: ImageName;
  readonly chosen: readonly string[];
  readonly isUntagged: boolean;
  readonly onOpen: (opened: Opened) => void;
}): VNode | null {
  const [first = '', second = ''] = chosen;
  if (chosen.length === 0)
    return <span class="faint">Select {isUntagged ? 'manifests' : 'tags'} to delete, compare or download them.</span>;
  const deleted = chosen.slice(0, maxDeleted);
  const targets = isUntagged ? { tags: [], digests: deleted } : { tags: deleted, digests: [] };
  const reference = chosen.slice(0, maxExported);
  const download = urlOf(`repositories/${name.repository}/export`, { image: name.image, reference });
  return (
    <>
      <button type="button" class="danger" onClick={() => onOpen({ delete: targets })}>
        <Icon name="trash" /> Delete {deleted.length}
        {chosen.length > maxDeleted ? ` of ${formatNumber(chosen.length)}` : ''}…
      </button>
      {chosen.length === 1 ? (
        <button type="button" onClick={() => onOpen({ retag: first })}>
          <Icon name="tag" /> Tag…
        </button>
      ) : undefined}
      {chosen.length === 2 ? (
        <a class="button" href={imageHref(name, { reference: first, with: second })}>
          <Icon name="compare" /> Compare 2
        </a>
      ) : undefined}
      {chosen.length > maxExported ? undefined : (
        <a class="button" href={download} download>
          <Icon name="download" /> Download
        </a>
      )}
    </>
  );
}
