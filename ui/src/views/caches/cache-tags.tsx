import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { TagDocument } from '../../../../src/protocol/documents/images.js';
import { getAll, imagePath } from '../../api.ts';
import { compareNaturally } from '../../format.ts';
import { hrefOf } from '../../location.ts';
import { Page } from '../../parts/page.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { Bytes, When } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';
import { AskUpstream, Explain } from './explain.tsx';
import { PurgeCache } from './purge-cache.tsx';

type Choice = { readonly action: 'explain' | 'ask' | 'purge'; readonly tag: string };

/** The cached tags of an image, with their freshness and pins. */
export function CacheTags({ repository, image }: { readonly repository: string; readonly image: string }): VNode {
  const [choice, choose] = useState<Choice | undefined>(undefined);
  const answer = useAnswer(
    (signal) =>
      getAll(
        `${imagePath(repository, image)}/tags`,
        (page: { readonly tags: readonly TagDocument[] }) => page.tags,
        {},
        { signal },
      ),
    [repository, image],
  );
  const onClose = (): void => choose(undefined);
  return (
    <Page
      title={`Cache ${repository}/${image}`}
      heading={
        <span class="crumbs">
          <a href="#/caches">Caches</a> / <a href={hrefOf(`/caches/${repository}`)}>{repository}</a> / {image}
        </span>
      }
    >
      <Answered answer={answer} what="The tags could not be read">
        {({ items }) =>
          items.length === 0 ? (
            <Empty>No tag is cached.</Empty>
          ) : (
            <Table
              caption="Cached tags"
              rows={items}
              columns={columnsOf(choose)}
              keyOf={({ name = '' }) => name}
              order={{ key: 'name', isDescending: false }}
            />
          )
        }
      </Answered>
      {choice?.action === 'ask' ? (
        <AskUpstream repository={repository} image={image} tag={choice.tag} onClose={onClose} onDone={answer.reload} />
      ) : undefined}
      {choice?.action === 'explain' ? (
        <Explain name={`${repository}/${image}`} reference={choice.tag} onClose={onClose} />
      ) : undefined}
      {choice?.action === 'purge' ? (
        <PurgeCache repository={repository} image={image} tag={choice.tag} onClose={onClose} onDone={answer.reload} />
      ) : undefined}
    </Page>
  );
}

function columnsOf(choose: (choice: Choice) => void): readonly Column<TagDocument>[] {
  return [
    {
      key: 'name',
      title: 'Tag',
      compare: (one, other) => compareNaturally(one.name ?? '', other.name ?? ''),
      cell: ({ name }) => name,
    },
    { key: 'fresh', title: 'Fresh until', isText: true, cell: (tag) => <When at={tag.fresh_until} never="unknown" /> },
    { key: 'checked', title: 'Checked', isWide: true, cell: (tag) => <When at={tag.checked_at} /> },
    { key: 'pulled', title: 'Last pull', isWide: true, cell: (tag) => <When at={tag.pulled_at} /> },
    { key: 'size', title: 'Size', isNumber: true, isWide: true, cell: (tag) => <Bytes value={tag.size_bytes} /> },
    {
      key: 'pinned',
      title: 'Pinned by',
      isWide: true,
      isText: true,
      cell: ({ pinned_by: pins = [] }) => pins.join(', '),
    },
    {
      key: 'actions',
      title: 'Actions',
      isText: true,
      cell: ({ name: tag = '' }) => (
        <span class="actions">
          <button type="button" aria-label={`Explain ${tag}`} onClick={() => choose({ action: 'explain', tag })}>
            Explain
          </button>
          <button type="button" aria-label={`Ask now for ${tag}`} onClick={() => choose({ action: 'ask', tag })}>
            Ask now
          </button>
          <button type="button" aria-label={`Purge ${tag}`} onClick={() => choose({ action: 'purge', tag })}>
            Purge
          </button>
        </span>
      ),
    },
  ];
}
