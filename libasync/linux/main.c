/*
 * main (Linux): of a program that brings ring_main instead. A file of its own, so that the linker
 * takes it out of the library only then.
 */
#include "libasync/ring.h"

int main(int argc, char **argv)
{
	ring_exit(&ring_native, ring_main(&ring_native, argc, argv));
}
