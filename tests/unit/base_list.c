/*
 * Does a list keep its order, and is a node that is on no list harmless to remove?
 * (kernel/base/list.h)
 */
#include "lib/unit.h"

#include "base/list.h"

struct item {
	int value;
	struct list link;
};

static void fill(struct list *head, struct item *items, int count, int first)
{
	list_init(head);
	for (int i = 0; i < count; i++) {
		items[i].value = first + i;
		list_push_back(head, &items[i].link);
	}
}

static void assert_holds(struct list *head, const int *want, int count)
{
	int n = 0;

	list_for_each(pos, head) {
		assert_true(n < count);
		assert_int_equal(list_item(pos, struct item, link)->value, want[n]);
		assert_ptr_equal(pos->next->prev, pos);
		n++;
	}
	assert_int_equal(n, count);
}

/* Do both ends take, and does the front give? */
static void ends(void **state)
{
	struct list head;
	struct item items[3], first = { .value = 9 };

	(void)state;
	fill(&head, items, 3, 1);
	list_push_front(&head, &first.link);
	assert_holds(&head, (int[]){ 9, 1, 2, 3 }, 4);
	assert_ptr_equal(list_pop_front(&head), &first.link);
	assert_ptr_equal(list_pop_front(&head), &items[0].link);
	assert_holds(&head, (int[]){ 2, 3 }, 2);
	list_pop_front(&head);
	list_pop_front(&head);
	assert_null(list_pop_front(&head));
	assert_true(list_is_empty(&head));
}

/* What if a node is removed twice, or was never on a list? */
static void removed_twice(void **state)
{
	struct list head;
	struct item items[3];

	(void)state;
	fill(&head, items, 3, 1);
	assert_true(list_is_linked(&items[1].link));
	list_remove(&items[1].link);
	list_remove(&items[1].link);
	assert_false(list_is_linked(&items[1].link));
	assert_holds(&head, (int[]){ 1, 3 }, 2);
}

/* Does appending move every node and leave the other list empty, whichever of them is empty? */
static void append(void **state)
{
	struct list a, b;
	struct item as[2], bs[2];

	(void)state;
	fill(&a, as, 2, 1);
	fill(&b, bs, 2, 3);
	list_append_all(&a, &b);
	assert_holds(&a, (int[]){ 1, 2, 3, 4 }, 4);
	assert_true(list_is_empty(&b));
	list_append_all(&a, &b);
	assert_holds(&a, (int[]){ 1, 2, 3, 4 }, 4);
	list_append_all(&b, &a);
	assert_holds(&b, (int[]){ 1, 2, 3, 4 }, 4);
	assert_true(list_is_empty(&a));
}

/* May the loop's own node leave the list inside the loop? */
static void remove_in_loop(void **state)
{
	struct list head;
	struct item items[4];

	(void)state;
	fill(&head, items, 4, 1);
	list_for_each_safe(pos, &head)
		if (list_item(pos, struct item, link)->value % 2)
			list_remove(pos);
	assert_holds(&head, (int[]){ 2, 4 }, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends),
		cmocka_unit_test(removed_twice),
		cmocka_unit_test(append),
		cmocka_unit_test(remove_in_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
